"""The style that all pages begin with: colours for light and dark, letters, header, facts."""

BASE_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #ffffff; --ink: #1f2328;
  --quiet: #59636e; --line: #d8dee4; --track: #e6eaee; --right: #1a7f37; --wrong: #c62828;
  --unknown: #6e7781; --agrees: #3b6ea5; --differs: #c96a00; --field: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0f1216; --card: #161b22; --ink: #e6edf3; --quiet: #9da7b1; --line: #2f3742;
    --track: #2b323b; --right: #56d364; --wrong: #ff8078; --unknown: #9da7b1; --agrees: #6ea8e0;
    --differs: #f0a04b; --field: #161b22; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.75rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
header p { margin: 0 0 1rem; color: var(--quiet); max-width: 46rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 0 0 1rem; }
.facts div { min-width: 0; }
dt { color: var(--quiet); font-size: .8rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
code { font: .86em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 44rem) {
  header, main { padding: 0 .9rem; }
  header { padding-top: 1.1rem; }
  h1 { font-size: 1.35rem; }
  .facts { gap: .5rem 1.4rem; } }
"""
