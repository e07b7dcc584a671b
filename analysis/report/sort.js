// A click on a column's head sorts by it, once more turns round, a third time brings the first order back.
// Numbers go by value, largest first: −0.31, 1,512, 64%, <0.001, +0.31 to +1.95 by its first end; blanks last.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  for (const [place, head] of heads.entries()) {
    const numeric = head.classList.contains("n");
    const turns = numeric ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const turn = turns[(turns.indexOf(head.getAttribute("aria-sort") ?? "") + 1) % 3];
      for (const other of heads) other.removeAttribute("aria-sort");
      if (turn) head.setAttribute("aria-sort", turn);
      body.append(...(turn ? sorted(rows, place, numeric ? value : words, turn === "ascending" ? 1 : -1) : rows));
    });
  }
}
function sorted(rows, place, read, sign) {
  const keyed = rows.map(row => [read(row.cells[place]), row]);
  const blank = ([key]) => key === null || key === "";
  return keyed.sort((a, b) => blank(a) - blank(b) || sign * order(a[0], b[0])).map(([, row]) => row);
}
function order(a, b) {
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}
function words(cell) {
  return cell.textContent.trim();
}
function value(cell) {
  const text = (cell.firstChild?.textContent ?? "").replaceAll("−", "-").replaceAll(",", "");
  const number = text.match(/-?\d+(\.\d+)?/);
  if (!number) return null;
  return Number(number[0]) + 1e-9 * (text.includes(">") - text.includes("<"));
}
