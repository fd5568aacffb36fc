"use strict";
// The style sheet filters by itself. With this there is a search, groups without a row are hidden, and the result is counted.
(function () {
  var form = document.getElementById("findings");
  var text = document.getElementById("text");
  if (!form || !text) return;
  var groups = Array.prototype.map.call(document.querySelectorAll(".group"), function (section) {
    return {
      section: section,
      rows: Array.prototype.map.call(section.querySelectorAll("tr.f"), function (row) {
        return { row: row, words: (row.querySelector(".what").textContent + " " + row.querySelector(".where").textContent).toLowerCase() };
      })
    };
  });
  function apply() {
    var kind = form.querySelector("input[name=kind]:checked").value;
    var owner = document.getElementById("owner").value;
    var rule = document.getElementById("rule").value;
    var words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    var all = 0, shown = 0;
    groups.forEach(function (group) {
      var mine = !owner || group.section.classList.contains(owner);
      var here = 0;
      group.rows.forEach(function (r) {
        var has = r.row.classList;
        var ok = mine && (!kind || has.contains("k-" + kind)) && (!rule || has.contains(rule)) &&
          words.every(function (w) { return r.words.indexOf(w) >= 0; });
        r.row.hidden = !ok;
        all++;
        if (ok) here++;
      });
      group.section.hidden = here === 0;
      shown += here;
    });
    document.getElementById("result").textContent = shown === all ? "" : shown + " of " + all + " shown";
  }
  document.getElementById("search").hidden = false;
  document.addEventListener("input", apply);
  document.addEventListener("change", apply);
  form.addEventListener("reset", function () { setTimeout(apply); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  apply();
})();
