"use strict";
// What both pages share: the token, asking for data, and making elements. Nothing is written as HTML:
// every text goes through textContent.

const TOKEN_KEY = "hushmeter-token";
const byId = (id) => document.getElementById(id);

function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem(TOKEN_KEY, found);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY);
}

async function ask(path, method = "GET", body) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(TOKEN_KEY) || ""}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const reply = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(answer.error || reply.statusText), { status: reply.status });
  return answer;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function numbers(id, pairs) {
  byId(id).replaceChildren(...pairs.map(([name, value, unit]) =>
    element("div", {}, element("dt", { text: name }),
      element("dd", {}, String(value), element("small", { text: unit ? ` ${unit}` : "" })))));
}

function table(caption, heads, rows) {
  const cell = (content, kind = "td") => {
    const { text = content, style = "" } = content && typeof content === "object" ? content : {};
    return element(kind, { class: style || false }, String(text ?? ""));
  };
  return element("table", {}, element("caption", { text: caption }),
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col", text: head })))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((one) => cell(one))))));
}

const clockTime = (unix_s) => new Date(unix_s * 1000).toISOString().slice(11, 16);
const dayTime = (unix_s) => new Date(unix_s * 1000).toISOString().slice(0, 16).replace("T", " ");
const kilo = (wh) => (Math.abs(wh) >= 1000 ? `${(wh / 1000).toFixed(2)} kWh` : `${Math.round(wh)} Wh`);

// Asks again every `every_ms`; says what is wrong where it shows, and asks for the token where it fails.
function follow(path, every_ms, show) {
  const status = byId("status");
  const say = (text, good) => {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("off", !good);
  };
  async function turn() {
    try {
      const answer = await ask(path);
      byId("enter").hidden = true;
      byId("main").hidden = false;
      show(answer);
      say("live", true);
    } catch (error) {
      if (error.status === 401) {
        byId("enter").hidden = false;
        byId("main").hidden = true;
        say("wants a token", false);
        return;
      }
      say(error.status ? error.message : "the program does not answer", false);
      if (!error.status && !(error instanceof TypeError)) throw error;
    }
    setTimeout(turn, every_ms);
  }
  byId("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN_KEY, byId("token").value.trim());
    turn();
  });
  takeToken();
  turn();
}

function sayInsecure(modes) {
  const box = byId("insecure");
  box.hidden = !modes.length;
  box.textContent = modes.length ? `Insecure, for trials only: ${modes.join(", ")}` : "";
}
