"use strict";
(() => {
  const form = document.getElementById("answers");
  const key = "skinlab-" + form.dataset.key;
  const cards = [...form.querySelectorAll(".card")];
  const answer = (card) => card.querySelector("input:checked").value;
  const quoted = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);

  // Some browsers keep nothing for a page that is a file; the answers then live as long as the page is open.
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(cards.map(answer))); } catch { /* not kept */ } };
  const kept = () => { try { return JSON.parse(localStorage.getItem(key)) || []; } catch { return []; } };

  const choose = (card, value) => {
    for (const input of card.querySelectorAll("input")) { input.checked = input.value === value; }
  };
  const show = () => {
    const done = cards.filter((card) => answer(card) !== "").length;
    document.getElementById("count").textContent = done + " of " + cards.length + " answered";
    document.getElementById("download").disabled = done === 0;
    for (const card of cards) { card.classList.toggle("done", answer(card) !== ""); }
  };

  const values = kept();
  cards.forEach((card, i) => {
    const known = [...card.querySelectorAll("input")].some((input) => input.value === values[i]);
    if (known) { choose(card, values[i]); }
  });
  form.addEventListener("change", () => { keep(); show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.ctrlKey || event.metaKey || event.altKey || !/^[0-9]$/.test(event.key)) { return; }
    const inputs = card.querySelectorAll("input");
    if (+event.key >= inputs.length) { return; }
    event.preventDefault();
    choose(card, inputs[+event.key].value);
    keep();
    show();
    const next = cards[cards.indexOf(card) + 1];
    if (next && event.key !== "0") {
      next.querySelector("input:checked").focus({ preventScroll: true });
      next.scrollIntoView({ block: "nearest" });
    }
  });
  document.getElementById("blind").addEventListener("change", (event) => {
    form.classList.toggle("blind", event.target.checked);
  });
  document.getElementById("clear").addEventListener("click", () => {
    if (!confirm("Clear all answers?")) { return; }
    cards.forEach((card) => choose(card, ""));
    keep();
    show();
  });
  document.getElementById("download").addEventListener("click", () => {
    const rows = cards.filter((card) => answer(card) !== "").map((card) => [card.dataset.id, answer(card)]);
    const text = [["image_id", "label"], ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "labels.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  form.classList.add("ready");
  show();
})();
