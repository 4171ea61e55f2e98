// What a reader would call broken, as a list of sentences; empty where all is well.
(() => {
  const faults = [];
  const width = document.documentElement.clientWidth;
  const shown = [...document.body.querySelectorAll('*')].filter(e => e.getClientRects().length && !e.matches('script,style'));
  const name = e => `${e.tagName.toLowerCase()}#${e.closest('[id]')?.id} "${e.textContent.slice(0, 30)}"`;
  if (document.documentElement.scrollWidth > width)
    faults.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${width}`);
  for (const e of shown) {
    const box = e.getBoundingClientRect();
    if (box.left < -0.5 || box.right > width + 0.5) faults.push(`${name(e)} reaches from ${box.left} to ${box.right} px`);
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline') faults.push(`${name(e)} is cut off`);
    if (parseFloat(getComputedStyle(e).fontSize) < 12) faults.push(`${name(e)} is too small to read`);
  }
  const sections = shown.filter(e => e.tagName === 'SECTION').map(e => [e, e.getBoundingClientRect()]);
  for (const [i, [a, p]] of sections.entries())
    for (const [b, q] of sections.slice(i + 1))
      if (p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom) faults.push(`${name(a)} lies over ${name(b)}`);
  // A word is on one line; an address may be parted at its colons.
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, n => n.parentElement.matches('script,style,noscript') ? 2 : 1);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    for (const word of node.textContent.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) faults.push(`"${word[0]}" is torn apart`);
    }
  }
  // WCAG 2.1, 1.4.3: the contrast of text is 4.5 to 1 at least.
  const rgb = text => text.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) =>
    [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
  for (const e of shown.filter(e => [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.textContent.trim()))) {
    const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faults.push(`${name(e)} has too little contrast`);
  }
  for (const bar of document.querySelectorAll('progress'))
    if (bar.getBoundingClientRect().width < 40 || bar.position < 0 || bar.position > 1) faults.push(`${name(bar.parentElement)} has no bar to see`);
  return faults;
})()
