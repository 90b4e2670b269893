// On every page: times in the reader's zone, the theme, and the strip of pages on a phone.
(() => {
  const kept = localStorage.getItem("linnet-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  const long = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "short"});
  const near = new Intl.RelativeTimeFormat(undefined, {numeric: "auto"});
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const write = (time) => {
    const at = new Date(time.dateTime), gone = (at - Date.now()) / 1000;
    let text = long.format(at);
    if (time.dataset.as === "ago" && Math.abs(gone) < 30 * 86400) {
      const [unit, size] = units.find(([, size]) => Math.abs(gone) >= size) || units[3];
      text = near.format(Math.round(gone / size), unit);
    }
    if (time.textContent !== text) time.textContent = text;
  };
  const all = () => document.querySelectorAll("time[data-as]").forEach(write);
  const side = () => {  // on a phone the pages are a strip: the present one is to be seen
    const strip = document.querySelector(".side"), here = strip?.querySelector("a[aria-current]");
    if (!here || strip.dataset.seen) return;
    strip.dataset.seen = "1";
    strip.scrollLeft = here.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
  };
  new MutationObserver(() => { all(); side(); }).observe(document.documentElement, {childList: true, subtree: true});
  setInterval(all, 30000);
  window.linnetTheme = () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("linnet-theme", next);
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-switch]")) window.linnetTheme();
  });
})();
// A table as a file: the button's own, so that it is what the reader sees.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-csv]"), table = button?.parentElement.querySelector("table");
  if (!table) return;
  const cell = (text) => {  // a spreadsheet would run what begins like a formula
    const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? "'" + text : text;
    return '"' + safe.replaceAll('"', '""') + '"';
  };
  const rows = [...table.rows].map((row) => [...row.cells].map((one) => cell(one.innerText.trim())).join(","));
  const file = new Blob([rows.join("\r\n") + "\r\n"], {type: "text/csv"});
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(file)});
  link.download = (button.dataset.csv || "table").replaceAll(/[^\w-]+/g, "-").toLowerCase() + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
