"""The report's style sheet: light, dark, on a wide screen, on a phone and on paper."""

from common.evidence.html_page.style import BASE_STYLE

STYLE = (
    BASE_STYLE
    + """
:root { --c0: #2f6fab; --c1: #c96a00; --c2: #b3362f; --c3: #2b8a80; --c4: #4a8a34; --c5: #8a5a9c; }
@media (prefers-color-scheme: dark) { :root { --c0: #6ea8e0; --c1: #f0a04b; --c2: #ff8078;
  --c3: #5cc7bb; --c4: #86c96d; --c5: #c79bd8; } }
.c0 { --color: var(--c0); } .c1 { --color: var(--c1); } .c2 { --color: var(--c2); }
.c3 { --color: var(--c3); } .c4 { --color: var(--c4); } .c5 { --color: var(--c5); }
main { padding-bottom: 3rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.verdicts { display: flex; flex-wrap: wrap; gap: .8rem; margin: .4rem 0 1rem; padding: 0; }
.verdict { flex: 1 1 20rem; border: 1px solid var(--line); border-left: 5px solid var(--state);
  border-radius: 8px; padding: .7rem .9rem; background: var(--card); min-width: 0; }
.verdict b { color: var(--state); font-size: 1.1rem; }
.verdict p { margin: .25rem 0 0; font-size: .87rem; overflow-wrap: anywhere; }
.verdict .rule { color: var(--quiet); }
.good { --state: var(--right); } .bad { --state: var(--wrong); } .open { --state: var(--unknown); }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.chart { margin: 0; padding: .7rem .8rem .5rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); min-width: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .2rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; touch-action: pan-y;
  cursor: crosshair; overflow: visible; }
svg:focus-visible { outline: 2px solid var(--agrees); outline-offset: 2px; border-radius: 4px; }
svg text { font-size: 12px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
.up { text-anchor: end; } .across { text-anchor: middle; }
.grid { stroke: var(--line); } .break { stroke: var(--quiet); stroke-dasharray: 5 4; }
.line { fill: none; stroke: var(--color); stroke-width: 1.8; stroke-linejoin: round; }
.band { fill: var(--color); opacity: .2; } .point, .mark { fill: var(--color); }
.mark { stroke: var(--card); stroke-width: 1.2; }
.cursor { stroke: var(--quiet); }
.cursor[hidden] { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .3rem 0 0; padding: 0;
  list-style: none; font-size: .82rem; }
.legend li { overflow-wrap: anywhere; }
.legend li::before { content: ""; display: inline-block; width: 1.1rem; height: 3px;
  margin-right: .4rem; vertical-align: middle; background: var(--color); }
output { display: block; min-height: 1.3rem; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td:first-child { min-width: 9rem; } td:not(:first-child) { white-space: nowrap; }
th { font-size: .8rem; color: var(--quiet); font-weight: 600; white-space: nowrap; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--agrees); outline-offset: 2px; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.sentences { padding-left: 1.1rem; color: var(--quiet); font-size: .87rem; max-width: 60rem; }
.pictures { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
.pictures figure { margin: 0; break-inside: avoid; }
.pictures img { max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
.pictures figcaption { font-weight: 400; font-size: .82rem; color: var(--quiet); }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--field); font: .78rem/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas,
  monospace; }
.facts dd { overflow-wrap: anywhere; }
@media print { body { font-size: 11px; } pre { white-space: pre-wrap; }
  .charts { grid-template-columns: 1fr 1fr; } output { display: none; } }
"""
)
