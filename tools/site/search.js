// Find the sections that hold every word, those with a hit in the heading first.
"use strict";
document.querySelector(".search").addEventListener("submit", event => event.preventDefault());
document.getElementById("find").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(word => word.length > 1);
  const ranked = !words.length ? [] : SECTIONS.map(([address, heading, text]) => {
    const title = heading.toLowerCase(), all = `${title} ${text.toLowerCase()}`;
    return { address, heading, text, all, rank: words.every(word => all.includes(word)) ? 1 + words.filter(word => title.includes(word)).length : 0 };
  }).filter(section => section.rank).sort((a, b) => b.rank - a.rank);
  document.getElementById("count").textContent = words.length ? `${ranked.length} section${ranked.length === 1 ? "" : "s"}` : "";
  document.getElementById("hits").replaceChildren(...ranked.slice(0, 12).map(section => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = section.address;
    link.textContent = section.heading;
    const hit = section.text.toLowerCase().indexOf(words[0]) - 60, at = hit > 0 ? section.text.indexOf(" ", hit) + 1 : 0;
    item.append(link, ` ${at ? "… " : ""}${section.text.slice(at, at + 160).trim()} …`);
    return item;
  }));
});
