"""The gallery's style sheet: light and dark, on a wide screen and on a phone."""

STYLE = """
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
.controls { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap;
  gap: .5rem 1.25rem; align-items: center; padding: .6rem 0; background: var(--paper);
  border-bottom: 1px solid var(--line); }
.controls label { display: flex; gap: .5rem; align-items: center; color: var(--quiet); }
select { font: inherit; color: var(--ink); background: var(--field); border: 1px solid var(--line);
  border-radius: 6px; padding: .3rem .5rem; max-width: 15rem; }
select:focus-visible { outline: 2px solid var(--agrees); outline-offset: 1px; }
.controls output { margin-left: auto; color: var(--quiet); font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; margin-bottom: 2rem; }
caption { text-align: left; color: var(--quiet); padding: .7rem 0 .3rem; font-size: .87rem; }
th { text-align: left; font-weight: 600; font-size: .8rem; color: var(--quiet);
  padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; padding: .9rem 1.1rem .9rem 0; border-bottom: 1px solid var(--line); }
img { display: block; image-rendering: pixelated; background: var(--track); border-radius: 4px;
  height: auto; }
.input { width: 8rem; }
.input img { width: 6.75rem; border: 4px solid var(--outcome); border-radius: 6px; }
.name { margin-top: .35rem; width: 6.75rem; font-size: .78rem; color: var(--quiet);
  overflow-wrap: anywhere; }
.decision { width: 12rem; }
.class { display: block; font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; }
.outcome { display: block; color: var(--outcome); font-weight: 600; overflow-wrap: anywhere; }
.right { --outcome: var(--right); }
.wrong { --outcome: var(--wrong); }
.unknown { --outcome: var(--unknown); }
.confidence { display: block; margin-top: .5rem; font-variant-numeric: tabular-nums; }
.bar { display: block; height: 5px; margin: .3rem 0; border-radius: 3px; background: var(--track);
  overflow: hidden; }
.bar span { display: block; height: 100%; min-width: 2px; background: var(--outcome); }
.prototypes ul { display: flex; flex-wrap: wrap; gap: .8rem; margin: 0; padding: 0;
  list-style: none; }
.prototypes li { width: 5.25rem; font-size: .82rem; line-height: 1.3; overflow-wrap: anywhere; }
.prototypes img { width: 100%; }
.weight { display: block; font-weight: 600; font-variant-numeric: tabular-nums; }
.row { display: block; color: var(--quiet); font-size: .76rem; }
.agrees { --outcome: var(--agrees); }
.differs { --outcome: var(--differs); }
.prototypes .rest { align-self: center; color: var(--quiet); }
@media (max-width: 44rem) {
  header, main { padding: 0 .9rem; }
  header { padding-top: 1.1rem; }
  h1 { font-size: 1.35rem; }
  .facts { gap: .5rem 1.4rem; }
  .controls { position: static; }
  .controls label { flex: 1 1 100%; justify-content: space-between; }
  .controls output { margin-left: 0; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, caption, tbody { display: block; }
  tr { display: grid; grid-template-columns: 6.75rem 1fr; gap: .7rem .9rem; padding: .8rem;
    margin: .7rem 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
  td { display: block; width: auto; min-width: 0; padding: 0; border: 0; }
  .input, .decision { width: auto; }
  .prototypes { grid-column: 1 / -1; }
  .prototypes ul { display: grid; gap: .6rem;
    grid-template-columns: repeat(auto-fill, minmax(4.2rem, 1fr)); }
  .prototypes li { width: auto; } }
@media print { .controls { display: none; } tr { break-inside: avoid; } }
"""
