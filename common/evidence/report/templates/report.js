(function () {
  "use strict";
  var ON_PAPER = 300;  // pixels: two charts beside each other
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var touch = !window.matchMedia("(hover: hover)").matches;

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function axis(given, extra) {
    return Object.assign({
      gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--quiet"),
      automargin: true, fixedrange: touch,
      title: Object.assign({ standoff: 6 }, given.title)
    }, { type: given.type || "linear" }, extra);
  }

  function draw(place, width) {
    var figure = JSON.parse(place.dataset.figure);
    var log = figure.layout.yaxis.type === "log";
    figure.data.forEach(function (trace) {
      var line = color("--c" + trace.meta);
      trace.line = Object.assign({ color: line, width: 1.8 }, trace.line);
      if (trace.fill) { trace.fillcolor = line + "33"; }
      if (trace.hoverinfo !== "skip") { trace.marker = { color: line }; }
    });
    Plotly.react(place, figure.data, {
      autosize: !width, width: width, height: width && place.clientHeight, showlegend: false, hovermode: "x unified",
      dragmode: touch ? false : "zoom",
      margin: { l: 10, r: 12, t: 8, b: 10 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--quiet"), activecolor: color("--ink") },
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--quiet") },
      hoverlabel: { bgcolor: color("--card"), font: { color: color("--ink") } },
      xaxis: axis(figure.layout.xaxis, { nticks: 6, tickformat: ",d", hoverformat: ",d" }),
      yaxis: axis(figure.layout.yaxis, {
        nticks: 6, dtick: log ? "D2" : undefined, tickformat: "~g"
      })
    }, { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
      modeBarButtonsToRemove: ["lasso2d", "select2d"] });
    place.classList.add("drawn");
  }

  function step(event) {
    var place = event.currentTarget, moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in moves) || !place.data) { return; }
    event.preventDefault();
    var curve = place.data[place.data.length - 1], last = curve.x.length - 1;
    var at = "at" in place.dataset ? Number(place.dataset.at) + moves[event.key] : last;
    place.dataset.at = Math.min(Math.max(at, 0), last);
    Plotly.Fx.hover(place, { xval: curve.x[place.dataset.at] }, "xy");
  }

  var places = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var watch = new IntersectionObserver(function (seen) {
    seen.forEach(function (one) {
      if (one.isIntersecting) { watch.unobserve(one.target); draw(one.target); }
    });
  }, { rootMargin: "600px" });
  places.forEach(function (place) {
    watch.observe(place);
    place.addEventListener("keydown", step);
  });
  dark.addEventListener("change", function () {
    places.forEach(function (place) { if (place.data) { draw(place); } });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details.section").forEach(function (one) { one.open = true; });
    places.forEach(function (place) { draw(place, ON_PAPER); });
  });
  window.addEventListener("afterprint", function () {
    places.forEach(function (place) { draw(place); });
  });

  function value(row, column) {
    var text = row.cells[column].textContent;
    return { text: text, number: parseFloat(text.replace(/,/g, "")) };
  }

  function sortable(table) {
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var body = table.tBodies[0];
        var rows = Array.prototype.slice.call(body.rows);
        rows.sort(function (one, other) {
          var a = value(one, column), b = value(other, column);
          var both = !isNaN(a.number) && !isNaN(b.number);
          var order = both ? a.number - b.number
            : isNaN(a.number) - isNaN(b.number) || a.text.localeCompare(b.text);
          return down ? -order : order;
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  }
  document.querySelectorAll("table.sorts").forEach(sortable);
})();
