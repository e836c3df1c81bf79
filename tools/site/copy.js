// Copy the code of the page, or select it where a page may not copy.
"use strict";
document.getElementById("copy").addEventListener("click", async event => {
  const code = document.querySelector(".highlight pre");
  try {
    await navigator.clipboard.writeText(code.textContent);
    event.target.textContent = "Copied";
  } catch (error) {
    window.getSelection().selectAllChildren(code);
    event.target.textContent = "Selected: press Ctrl+C";
  }
});
