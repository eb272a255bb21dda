"""The gallery's style sheet: light and dark, on a wide screen and on a phone."""

from common.evidence.html_page.style import BASE_STYLE

STYLE = (
    BASE_STYLE
    + """
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
)
