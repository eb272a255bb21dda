(function () {
  "use strict";
  var body = document.querySelector("tbody");
  var order = document.getElementById("order");
  var chosen = document.getElementById("class");
  var count = document.getElementById("count");
  var rows = Array.prototype.slice.call(body.rows);
  var key = {
    wrong: function (row) { return Number(row.dataset.rank); },
    least: function (row) { return Number(row.dataset.confidence); },
    most: function (row) { return -Number(row.dataset.confidence); },
    given: function (row) { return Number(row.dataset.given); }
  };
  function arrange() {
    var value = key[order.value];
    var shown = 0;
    rows.sort(function (one, other) {
      return value(one) - value(other) || key.given(one) - key.given(other);
    });
    rows.forEach(function (row) {
      row.hidden = chosen.value !== "" && row.dataset.predicted !== chosen.value;
      shown += row.hidden ? 0 : 1;
      body.appendChild(row);
    });
    count.textContent = shown + " of " + rows.length + " shown";
  }
  order.addEventListener("change", arrange);
  chosen.addEventListener("change", arrange);
  document.getElementById("controls").hidden = false;
  arrange();
})();
