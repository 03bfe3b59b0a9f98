// The page works without this script. With it, decisions are saved in place, by mouse or by keyboard, through the very forms
// that the page has: each is posted as the browser would, and of the page that comes back only what changed is taken over.
"use strict";
(() => {
  const byID = (id) => document.getElementById(id);
  const sheet = byID("sheet");
  showDue();
  if (!sheet) return;

  const cards = () => [...document.querySelectorAll(".card")];
  const cardOf = (item) => byID("item-" + item);
  let current = 0; // item that was looked at last
  let decided = 0; // item that was decided last
  let waiting = 0; // posts without an answer

  // What stands in a card's fields, what is saved of it, and whether they differ.
  const trim = (text) => text.replace(/\r\n?/g, "\n").trim();
  const saved = (card) => ({ verdict: card.dataset.verdict, comment: trim(card.dataset.comment) });
  function fields(card) {
    const comment = card.querySelector("textarea");
    if (!comment) return saved(card); // deciding is over
    return { verdict: card.querySelector("[type=radio]:checked")?.value ?? "", comment: trim(comment.value) };
  }
  const same = (a, b) => a.verdict === b.verdict && a.comment === b.comment;
  const changed = (card) => !same(fields(card), saved(card));
  function fill(card, to) {
    for (const radio of card.querySelectorAll("[type=radio]")) radio.checked = radio.value === to.verdict;
    card.querySelector("textarea").value = to.comment;
  }

  // say has the words read out, also if they are those said before.
  function say(text) {
    byID("said").textContent = "";
    requestAnimationFrame(() => { byID("said").textContent = text; });
  }

  // tell shows words in a card, or above all.
  function tell(card, text, bad) {
    const box = document.createElement("div");
    box.className = bad ? "flash bad" : "flash";
    const p = box.appendChild(document.createElement("p"));
    p.textContent = text;
    if (card) {
      for (const told of card.querySelectorAll(".decision > .flash")) told.remove();
      card.querySelector(".mine").after(box);
    } else {
      byID("told").replaceChildren(box);
    }
    say(text);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    const one = form.dataset.item ?? (button?.name === "item" ? button.value : undefined);
    if (form !== sheet && !form.dataset.item) return; // forms for everything: a page of their own answers
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, button));
    let about;
    if (one) {
      about = [cardOf(one)].filter(Boolean);
      // What was chosen for the other items stays where it is.
      for (const name of [...body.keys()]) if (/^(verdict|comment|version|was)-/.test(name) && !name.endsWith("-" + one)) body.delete(name);
    } else {
      about = cards().filter(changed);
      if (!about.length) return tell(null, "Nothing was saved: nothing new was chosen on this page.", true);
    }
    send(button?.getAttribute("formaction") ?? form.getAttribute("action"), body, about);
  });

  // Posts go one after the other, so that each answer shows what the one before did. The promise says whether one was taken.
  let line = Promise.resolve();
  function send(to, body, about) {
    const sent = new Map(about.map((card) => [card.dataset.item, fields(card)]));
    for (const card of about) card.setAttribute("aria-busy", "true");
    waiting++;
    const done = line.then(async () => {
      try {
        const answer = await fetch(to, { method: "POST", body, credentials: "same-origin", signal: AbortSignal.timeout(30000) });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (answer.ok && page.getElementById("progress")) return takeOver(page, sent, to);
        const why = [...page.querySelectorAll("h1, [data-why]")].map((part) => part.textContent).join(" ");
        return failed(sent, (answer.status < 500 ? "Not saved. " : "") + (why || "The page answered " + answer.status + "."));
      } catch {
        return failed(sent, "No answer came. It is not certain that this was saved; to save the same again does no harm.");
      }
    }).finally(() => {
      waiting--;
      for (const item of sent.keys()) cardOf(item)?.removeAttribute("aria-busy");
      if (!cards().length) location.assign(sheet.elements.undecided ? "/review?undecided=1" : "/review"); // to others, or that all is done
    });
    line = done;
    return done;
  }

  // failed leaves everything as it was typed.
  function failed(sent, why) {
    if (!sent.size) tell(null, why, true);
    for (const item of sent.keys()) tell(cardOf(item), why, true);
    return false;
  }

  // takeOver puts the cards of the page that came in the place of those that were sent, and keeps what was typed since.
  function takeOver(page, sent, to) {
    let words = "";
    for (const [item, was] of sent) {
      const old = cardOf(item), fresh = page.getElementById("item-" + item);
      if (!old) continue;
      const focus = old.contains(document.activeElement) ? document.activeElement.id : undefined;
      if (to.endsWith("/decide")) decided = item;
      if (!fresh) { // handed on, or no longer undecided
        const next = old.nextElementSibling?.closest(".card") ?? cards().filter((c) => c !== old).pop();
        old.remove();
        if (focus !== undefined) (next ?? byID("items")).focus();
        continue;
      }
      const now = fields(old);
      old.replaceWith(fresh);
      if (fresh.querySelector("textarea") && !same(now, was)) fill(fresh, now);
      words += fresh.querySelector(".decision > .flash")?.textContent ?? "";
      if (focus !== undefined) (byID(focus) ?? fresh).focus({ preventScroll: true });
    }
    byID("progress").replaceWith(page.getElementById("progress"));
    byID("told").replaceWith(page.getElementById("told"));
    words += byID("told").textContent;
    say(words.replace(/\s+/g, " ").trim() + " " + byID("progress").querySelector("label").textContent);
    return true;
  }

  // Leaving loses nothing without a question.
  addEventListener("beforeunload", (event) => {
    if (waiting || cards().some(changed)) event.preventDefault();
  });

  // The keyboard.
  const keys = byID("keys"), keysOn = byID("keys-on");
  keys.hidden = false;
  try { keysOn.checked = localStorage.getItem("castellan-keys") !== "off"; } catch { /* nothing can be remembered here */ }
  keysOn.addEventListener("change", () => {
    try { localStorage.setItem("castellan-keys", keysOn.checked ? "on" : "off"); } catch { /* for this page only, then */ }
  });
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (card) current = card.dataset.item;
  });

  const writing = (element) => element.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])");
  function go(to) {
    if (!to) return say("There is no such item on this page.");
    to.focus({ preventScroll: true });
    to.scrollIntoView({ block: "start" });
  }
  function choose(card, verdict) {
    if (!card) return say("Go to an item first, by j.");
    card.querySelector("[type=radio][value=" + verdict + "]").checked = true;
    sheet.requestSubmit(card.querySelector(".save"));
  }
  function takeBack(card) {
    const button = card?.querySelector(".back");
    if (button) return sheet.requestSubmit(button);
    if (!decided || cardOf(decided)) return say("There is nothing to take back here.");
    // What was decided last has left the page, which shows undecided items only: it comes back with the page.
    const item = decided;
    send("/review/reopen", new URLSearchParams(new FormData(byID("hand-" + item))), []).then((taken) => {
      if (taken && !cards().some(changed)) location.reload();
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest(".card") && writing(event.target)) return event.target.closest(".card").focus();
    if (!keysOn.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing || writing(event.target)) return;
    const all = cards(), card = cardOf(current) ?? null, at = all.indexOf(card);
    switch (event.key) {
      case "j": go(all[at + 1]); break;
      case "k": go(at < 0 ? all[0] : all[at - 1]); break;
      case "n": go([...all.slice(at + 1), ...all.slice(0, at + 1)].find((c) => !c.dataset.verdict)); break;
      case "1": choose(card, "keep"); break;
      case "2": choose(card, "remove"); break;
      case "c": card ? card.querySelector("textarea").focus() : choose(card); break;
      case "u": takeBack(card); break;
      default: return;
    }
    event.preventDefault();
  });

  // showDue adds the end of the stage in the reader's own time zone.
  function showDue() {
    const due = byID("due");
    if (!due || new Date(due.dateTime).getTimezoneOffset() === 0) return;
    const own = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" }).format(new Date(due.dateTime));
    due.after(" (" + own + " where you are)");
  }
})();
