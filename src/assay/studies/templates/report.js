"use strict";
const tip = document.getElementById("tip");

function show(text, x, y) {
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18) + "px";
}
function hide() { tip.style.left = "-99rem"; }
function digits(value) {
  if (value === null || value === undefined) return "–";
  const text = value === 0 ? "0" : Math.abs(value) >= 0.1 ? value.toFixed(2) : Number(value.toPrecision(2)).toString();
  return text.replace("-", "−");
}

// ---- theme: the system's, until a reader chooses
const theme = document.getElementById("theme");
const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const named = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", "Switch to the " + (dark() ? "light" : "dark") + " theme"); };
theme.hidden = false;
named();
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; named(); });
let before;
addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; document.documentElement.dataset.theme = "light"; });
addEventListener("afterprint", () => { if (before) document.documentElement.dataset.theme = before; else delete document.documentElement.dataset.theme; });

// ---- what is pointed at says its number
document.addEventListener("pointermove", (event) => {
  const at = event.target.closest && event.target.closest("[data-tip]");
  if (at) show(at.dataset.tip, event.clientX, event.clientY);
  else if (!event.target.closest || !event.target.closest("svg.grid")) hide();
});
addEventListener("scroll", hide, { passive: true });

// ---- grids: a pointer or the arrow keys choose a cell
function grid(svg, place, size, said, chosen) {
  const mark = svg.querySelector(".mark");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-roledescription", "figure; arrow keys choose a cell, its number is read out");
  const at = [0, 0];
  const go = (row, column, x, y) => {
    const [rows, columns] = size();
    if (row < 0 || column < 0 || row >= rows || column >= columns) { mark.setAttribute("x", -999); hide(); return; }
    at[0] = row; at[1] = column;
    mark.setAttribute("x", place.x + column * place.w);
    mark.setAttribute("y", place.y + row * place.h);
    if (x === undefined) { const box = mark.getBoundingClientRect(); x = box.right; y = box.bottom; }
    show(said(row, column), x, y);
    if (chosen) chosen(row, column);
  };
  svg.addEventListener("pointermove", (event) => {
    const inside = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    go(Math.floor((inside.y - place.y) / place.h), Math.floor((inside.x - place.x) / place.w), event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => { mark.setAttribute("x", -999); hide(); });
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) go(at[0], at[1]); });
  svg.addEventListener("blur", () => { mark.setAttribute("x", -999); hide(); });
  svg.addEventListener("keydown", (event) => {
    const [rows, columns] = size();
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -columns], End: [0, columns] }[event.key];
    if (event.key === "Escape") { mark.setAttribute("x", -999); hide(); return; }
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(Math.max(0, Math.min(rows - 1, at[0] + step[0])), Math.max(0, Math.min(columns - 1, at[1] + step[1])));
  });
}

function heat(figure, data) {
  const said = (row, column) => {
    const half = data.half && data.half[row][column];
    return `${data.names[0]} ${data.rows[row]}, ${data.names[1]} ${data.columns[column]}\n${digits(data.values[row][column])}${half === null || half === undefined ? "" : " ± " + digits(half)}`;
  };
  grid(figure.querySelector("svg"), data, () => [data.rows.length, data.columns.length], said);
}

function attention(figure, data) {
  const svg = figure.querySelector("svg"), buttons = figure.querySelector(".heads"), reading = figure.querySelector(".reading");
  const cells = [...svg.querySelectorAll("rect:not(.mark)")];
  const place = { x: +svg.dataset.x, y: +svg.dataset.y, w: +svg.dataset.s, h: +svg.dataset.s };
  let head = 0, query = data.tokens.length - 1;
  const words = data.tokens.map((token, i) => {
    const word = document.createElement("span");
    word.textContent = token;
    word.addEventListener("click", () => read(i));
    word.addEventListener("pointermove", (event) => { event.stopPropagation(); show(`${data.tokens[query]} → ${token}: ${digits(i > query ? null : data.pattern[head][query][i])}`, event.clientX, event.clientY); });
    word.addEventListener("pointerleave", hide);
    reading.append(word, document.createTextNode(" "));
    return word;
  });
  const shade = (value) => "s" + Math.round(value * 20);
  function read(row) {
    query = row;
    words.forEach((word, i) => {
      const value = i > row ? 0 : data.pattern[head][row][i];
      word.className = (i > row ? "" : shade(value)) + (value > 0.5 ? " deep" : "") + (i === row ? " query" : "");
    });
  }
  function choose(which) {
    head = which;
    let at = 0;
    data.pattern[which].forEach((row) => row.forEach((value) => cells[at++].setAttribute("class", shade(value))));
    [...buttons.children].forEach((button, i) => button.setAttribute("aria-pressed", i === which));
    read(query);
  }
  data.heads.forEach((name, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => choose(i));
    buttons.append(button);
  });
  reading.hidden = false;
  choose(0);
  const said = (row, column) => `${data.tokens[row]} → ${data.tokens[column]}\n${column > row ? "can't be seen" : digits(data.pattern[head][row][column])}`;
  grid(svg, place, () => [data.tokens.length, data.tokens.length], said, read);
}

document.querySelectorAll("figure[data-kind]").forEach((figure) => {
  const data = figure.querySelector("script");
  if (!data) return;
  ({ grid: heat, attention }[figure.dataset.kind])(figure, JSON.parse(data.textContent));
});

// ---- tables sort by a click on a heading
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") !== "descending";
      [...table.tHead.rows[0].cells].forEach((each) => each.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.k;
      const compare = (a, b) => key(a) !== undefined && key(b) !== undefined ? key(a) - key(b) : a.cells[column].textContent.localeCompare(b.cells[column].textContent, undefined, { numeric: true });
      body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * compare(a, b)));
    });
  });
});

// ---- prompts are found by what they say
document.querySelectorAll(".filter").forEach((label) => {
  label.hidden = false;
  const rows = [...label.parentElement.querySelectorAll("tbody tr")];
  label.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
  });
});

// ---- what scrolls sideways or down is reached by the keyboard, and has a name
function reachable() {
  document.querySelectorAll(".scroll").forEach((box) => {
    const over = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (!over) { box.removeAttribute("tabindex"); box.removeAttribute("role"); return; }
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    const named = box.querySelector("caption, [aria-label]"), place = box.closest("article, details, section");
    const title = place && place.querySelector("h3, summary, h2");
    const said = [named && (named.getAttribute("aria-label") || named.textContent), title && title.textContent];
    box.setAttribute("aria-label", "Scrolls: " + said.filter(Boolean).map((text) => text.trim().replace(/\s+/g, " ").slice(0, 90)).join(", "));
  });
}
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
reachable();

// ---- the section that is read is marked in the bar
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((seen) => seen.forEach((each) => {
  if (!each.isIntersecting) return;
  links.forEach((link) => link.removeAttribute("aria-current"));
  links.get(each.target.id)?.setAttribute("aria-current", "true");
}), { rootMargin: "-20% 0px -70% 0px" });
document.querySelectorAll("main > section").forEach((section) => reading.observe(section));

// ---- what is linked to is open, and everything is open on paper
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
}
addEventListener("hashchange", reveal);
reveal();
