"""Images from another distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from proto_data_files import (
    dataset_of,
    numbered_images,
    random_pixels,
    refusal,
    write_idx_folder,
)

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages
from protoattend.data.datasets import open_dataset
from protoattend.data.other_sets import open_other_set, to_shape

SHAPED = dataset_of(LabelledImages(random_pixels(20, 6)[..., None], np.zeros(20, np.int32)))


def test_noise_has_the_datasets_shape_and_every_value_by_the_seed() -> None:
    noise = open_other_set("noise", SHAPED, None, 300)
    assert noise.shape == (300, 6, 6, 1) and noise.dtype == np.uint8
    assert len(np.unique(noise)) == 256
    first, again, other = (open_other_set("noise", SHAPED, None, 3, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_rotated_images_are_the_test_images_turned_by_90_degrees_none_twice() -> None:
    turned = open_other_set("rotated", SHAPED, None, 20)
    for image, original in zip(turned, SHAPED.test.images):
        for row in range(6):
            for column in range(6):
                assert image[row, column, 0] == original[column, 5 - row, 0]
    chosen = open_other_set("rotated", SHAPED, None, 7)
    assert len(np.unique(chosen.reshape(7, -1), axis=0)) == 7
    assert len(open_other_set("rotated", SHAPED, None, 1000)) == 20


def test_colour_becomes_grey_by_itu_r_601_and_grey_colour_by_repetition() -> None:
    colour = random_pixels(12, 4).reshape(4, 4, 4, 3)
    grey = to_shape(colour, (4, 4, 1))
    assert np.abs(grey[..., 0] - colour @ np.array([0.299, 0.587, 0.114])).max() <= 0.5
    np.testing.assert_array_equal(to_shape(grey, (4, 4, 3)), np.repeat(grey, 3, axis=-1))


def test_the_dataset_itself_is_no_other_set_by_any_name(tmp_path: Path) -> None:
    same = dataset_of(numbered_images(9), "digits")
    assert "digits is the dataset itself" in refusal(
        lambda: open_other_set("digits", same, None, 10), UsageError
    )
    folder = str(write_idx_folder(tmp_path / "data"))
    dataset = open_dataset("fashion_mnist", folder)
    assert "is the dataset fashion_mnist itself" in refusal(
        lambda: open_other_set("mnist", dataset, folder, 10)
    )


def test_the_real_cifar10_comes_grey_in_the_shape_of_fashion_mnist(zoo_data) -> None:
    dataset = dataset_of(numbered_images(9, size=28))
    images = open_other_set("cifar10", dataset, str(zoo_data("cifar-10-batches-py")), 50)
    assert images.shape == (50, 28, 28, 1) and 100 < images.mean() < 140
