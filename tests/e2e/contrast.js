// Every text whose contrast with what is behind it is below 4.5, as {where: [ratio, text]}. Details are opened first.
() => {
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const read = (text) => { const found = text.match(/[\d.]+/g).map(Number); return found.length < 4 ? [...found, 1] : found; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat([1]);
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const low = {}, walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, .skip, #tip, .hidden")) continue;
    let ground = [255, 255, 255, 1], opacity = 1;
    const around = [];
    for (let at = element; at; at = at.parentElement) around.unshift(at);
    for (const each of around) {
      const look = getComputedStyle(each);
      ground = over(read(look.backgroundColor), ground);
      opacity *= Number(look.opacity);
    }
    const look = getComputedStyle(element), colour = read(element.closest("svg") ? look.fill : look.color);
    const [a, b] = [light(over([...colour.slice(0, 3), colour[3] * opacity], ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const where = element.tagName.toLowerCase() + "." + (element.className.baseVal ?? element.className);
    if (ratio < 4.5 && !(low[where] && low[where][0] <= ratio)) low[where] = [Math.round(100 * ratio) / 100, text.slice(0, 40)];
  }
  return low;
}
