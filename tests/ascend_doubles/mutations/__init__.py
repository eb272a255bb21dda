"""Rules broken on purpose, to show that the tests of the doubles and of the adapters notice.

A list (tensorflow_list.py, torch_list.py) is a module with one tuple:

    MUTATIONS = (
        Mutation(
            name="use_off_line_in_the_wrong_field",          # words that make a test's id
            file="common/training/tensorflow/runtime.py",   # from the checkout's root
            old="npu.parameter_map[name].b = value",         # is in the file exactly once
            new="npu.parameter_map[name].i = value",
            tests=("tests/test_tf_runtime.py::test_…",),     # each of them must fail
            why="1.5: a value in the wrong field is read as that type's zero"),
    )

tests/test_ascend_mutations.py first runs all named tests on an unchanged copy of the checkout,
where each must pass, then applies one mutation after the other to the copy. A test that is skipped
on the unchanged copy (another stack's) skips the mutation. Name few and fast tests (below 6 s
together), by file and function; of a parametrised function one case has to fail. An error while a
test file is collected does not count: a mutation must leave every file importable.
"""
