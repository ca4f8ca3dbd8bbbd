"use strict";
// Without this script the tables are as they are; with it a click on a column's name sorts by it.
for (const table of document.querySelectorAll("table.sortable")) {
  const bodies = [...table.tBodies];  // one a task where rows are grouped, each sorted by itself
  const sortable = (body) => [...body.rows].filter((row) => !row.classList.contains("group"));
  if (bodies.every((body) => sortable(body).length < 2)) continue;
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = header.classList.contains("number") ? header.ariaSort !== "descending" : header.ariaSort === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent.trim();  // a number first, then its interval and marks
      const number = (row) => parseFloat(text(row).replace("\u2212", "-").replace(/^[<>]/, ""));
      const compare = (a, b) => {
        const [x, y] = [number(a), number(b)];
        if (!header.classList.contains("number")) return text(a).localeCompare(text(b), undefined, { numeric: true });
        return Number.isNaN(x) || Number.isNaN(y) ? 0 : x - y;
      };
      const missing = (row) => header.classList.contains("number") && Number.isNaN(number(row));
      for (const body of bodies) {
        const rows = sortable(body);
        const known = rows.filter((row) => !missing(row)).sort((a, b) => (down ? -1 : 1) * compare(a, b));
        body.append(...known, ...rows.filter(missing));
      }
    });
  });
}
