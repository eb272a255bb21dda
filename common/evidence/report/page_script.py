"""The report's script: values under the pointer or the arrow keys, tables that sort."""

SCRIPT = """
(function () {
  "use strict";
  var SVG = "http://www.w3.org/2000/svg";

  function nearest(places, x) {
    var best = 0;
    places.forEach(function (place, number) {
      if (Math.abs(place - x) < Math.abs(places[best] - x)) { best = number; }
    });
    return best;
  }

  function liven(figure) {
    var svg = figure.querySelector("svg");
    var told = figure.querySelector("output");
    var cursor = figure.querySelector(".cursor");
    var curves = JSON.parse(figure.dataset.curves);
    var marks = curves.map(function (curve) {
      var mark = document.createElementNS(SVG, "circle");
      mark.setAttribute("class", "mark c" + curve.color);
      mark.setAttribute("r", "3.5");
      mark.setAttribute("visibility", "hidden");
      svg.appendChild(mark);
      return mark;
    });
    var at = null;

    function show(x) {
      var leading = curves.reduce(function (one, other) {
        var near = Math.abs(one.x[nearest(one.x, x)] - x);
        return Math.abs(other.x[nearest(other.x, x)] - x) < near ? other : one;
      });
      at = leading.x[nearest(leading.x, x)];
      var words = ["step " + leading.step[nearest(leading.x, x)].toLocaleString("en-US")];
      curves.forEach(function (curve, number) {
        var place = nearest(curve.x, at);
        var close = Math.abs(curve.x[place] - at) <= 12;
        marks[number].setAttribute("visibility", close ? "visible" : "hidden");
        if (!close) { return; }
        marks[number].setAttribute("cx", curve.x[place]);
        marks[number].setAttribute("cy", curve.y[place]);
        words.push((curves.length > 1 ? curve.name + " " : "") + curve.value[place]);
      });
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      cursor.removeAttribute("hidden");
      told.textContent = words.join(" \\u00b7 ");
    }
    function hide() {
      cursor.setAttribute("hidden", "");
      marks.forEach(function (mark) { mark.setAttribute("visibility", "hidden"); });
      told.textContent = "";
      at = null;
    }
    function under(event) {
      var box = svg.getBoundingClientRect();
      show((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width);
    }
    function step(event) {
      var places = curves[0].x;
      var moves = { ArrowLeft: -1, ArrowRight: 1 };
      if (!(event.key in moves)) { return; }
      event.preventDefault();
      var next = at === null ? places.length - 1 : nearest(places, at) + moves[event.key];
      show(places[Math.min(Math.max(next, 0), places.length - 1)]);
    }
    svg.addEventListener("pointermove", under);
    svg.addEventListener("pointerdown", under);
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("keydown", step);
    svg.addEventListener("blur", hide);
  }

  function value(row, column) {
    var cell = row.cells[column];
    var text = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
    var number = parseFloat(text.replace(/,/g, ""));
    return { text: text, number: number };
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

  document.querySelectorAll("figure.chart").forEach(liven);
  document.querySelectorAll("table.sorts").forEach(sortable);
})();
"""
