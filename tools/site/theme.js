// Light or dark: the reader's choice if there is one, else the system's. Storage may be forbidden on file:// pages.
(function () {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("ftlab-theme"); } catch (error) { chosen = null; }
  function show() {
    const theme = chosen || (dark.matches ? "dark" : "light");
    root.setAttribute("theme", theme);
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light page" : "Dark page";
  }
  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", function () {
    show();
    document.getElementById("theme").addEventListener("click", function () {
      chosen = root.getAttribute("theme") === "dark" ? "light" : "dark";
      try { localStorage.setItem("ftlab-theme", chosen); } catch (error) { /* kept for this page only */ }
      show();
    });
  });
})();
