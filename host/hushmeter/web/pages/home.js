// A home's own page. What is edited here is kept until it is saved; the rest follows the home's folder.

const FIELDS = {
  thermostat: {
    title: "Heating or cooling", make: (name) => ({
      name, mode: "heat", points: [{ price: 100, setpoint_c: 21 }, { price: 300, setpoint_c: 18 }],
      indoor_c: 20, outdoor_c: 5, loss_w_per_k: 40, store_wh_per_k: 900, most_w: 2500,
    }),
    fields: {
      indoor_c: "Indoors, °C", outdoor_c: "Outdoors, °C", loss_w_per_k: "Loss, W per K",
      store_wh_per_k: "Store, Wh per K", most_w: "Most power, W",
    },
    steps: { indoor_c: 0.1, outdoor_c: 0.1 },
  },
  switch: {
    title: "On or off", make: (name) => ({ name, power_w: 1000, most_price: 150 }),
    fields: { power_w: "Power, W", most_price: "On up to this price" },
  },
  must_run: { title: "At any price", make: (name) => ({ name, power_w: 200 }), fields: { power_w: "Power, W" } },
  battery: {
    title: "Battery", make: (name) => ({
      name, capacity_wh: 5000, stored_wh: 2500, most_w: 2000, buy_below: 100, sell_above: 300, reserve_wh: 500,
      efficiency_percent: 90,
    }),
    fields: {
      capacity_wh: "Capacity, Wh", stored_wh: "Stored now, Wh", reserve_wh: "Reserve, Wh", most_w: "Most power, W",
      efficiency_percent: "Efficiency, %", buy_below: "Buys at or below", sell_above: "Sells at or above",
    },
  },
  solar: {
    title: "Solar panels", make: (name) => ({ name, power_w: 1500, cost: 30 }),
    fields: { power_w: "Power now, W", cost: "Sells at or above" },
  },
};
const THRESHOLDS = { switch: ["most_price"], battery: ["buy_below", "sell_above"], solar: ["cost"] };
const THRESHOLD_NAMES = {
  most_price: "on up to", buy_below: "buys at or below", sell_above: "sells at or above", cost: "sells at or above",
};

let edited = null; // the settings as they stand on the page
let inUse = null;
let grid = [];
let previewTimer = 0;
let previews = 0; // counts up, so that an answer to an earlier question changes nothing

const changed = () => JSON.stringify(edited) !== JSON.stringify(inUse);
const within = (value, low, high) => Math.min(high, Math.max(low, value));

function touch(redraw) {
  byId("save").disabled = byId("undo").disabled = !changed();
  if (redraw) showAppliances();
  clearTimeout(previewTimer);
  previewTimer = setTimeout(preview, 120);
}

async function preview() {
  const message = byId("save-message");
  previews += 1;
  const mine = previews;
  try {
    const curves = await ask("/api/preview", "POST", edited);
    if (mine !== previews) return;
    drawCurves(curves);
    message.className = "message";
    message.textContent = changed() ? "not in use yet" : "";
  } catch (error) {
    if (mine !== previews) return;
    message.className = "message bad";
    message.textContent = error.message;
    byId("save").disabled = true;
  }
}

function drawCurves({ prices, demand, supply }) {
  const top = Math.max(...demand, ...supply, 10);
  const chart = new Chart(byId("curve-chart"), {
    x: [prices[0], prices[prices.length - 1]], y: [0, top * 1.1], height: 230, xName: "price, µ/Wh", yName: "Wh in an interval",
  });
  chart.steps(prices.map((price, i) => [price, demand[i]]), "buy");
  chart.steps(prices.map((price, i) => [price, supply[i]]), "sell");
  chart.text(chart.px(prices[0]) + 6, chart.py(demand[0]) - 6, "I buy", "start", "label-buy");
  const last = prices.length - 1;
  chart.text(chart.px(prices[last]) - 2, chart.py(supply[last]) - 6, "I sell", "end", "label-sell");
}

function field(kind, one, key) {
  const input = element("input", { type: "number", step: (FIELDS[kind].steps || {})[key] || 1, value: one[key] });
  input.addEventListener("input", () => {
    if (input.value === "" || !Number.isFinite(+input.value)) return;
    one[key] = +input.value;
    draw.get(one)?.();
    touch(false);
  });
  inputs.set(`${kind}/${edited[kind].indexOf(one)}/${key}`, input);
  return element("label", { text: FIELDS[kind].fields[key] }, input);
}

const inputs = new Map();
const draw = new Map();

function appliance(kind, one) {
  const name = element("input", { value: one.name, "aria-label": "Name", maxlength: 40 });
  name.addEventListener("input", () => { one.name = name.value; touch(false); });
  const drop = element("button", {
    type: "button", text: "Remove", "aria-label": `Remove ${one.name}`,
    onclick: () => { edited[kind].splice(edited[kind].indexOf(one), 1); touch(true); },
  });
  const set = element("fieldset", {}, element("legend", { text: FIELDS[kind].title }), element("label", { text: "Name" }, name));
  if (kind === "thermostat") {
    const mode = element("select", {}, ...["heat", "cool"].map((word) =>
      element("option", { value: word, text: word, selected: one.mode === word })));
    mode.addEventListener("change", () => { one.mode = mode.value; touch(false); });
    set.append(element("label", { text: "Mode" }, mode));
    one.points.forEach((point, i) => {
      for (const [key, words, step] of [["price", `Price ${i + 1}`, 1], ["setpoint_c", `Set-point ${i + 1}, °C`, 0.1]]) {
        const input = element("input", { type: "number", step, value: point[key] });
        input.addEventListener("input", () => {
          if (input.value === "") return;
          point[key] = +input.value;
          draw.get(one)?.();
          touch(false);
        });
        inputs.set(`thermostat/${edited.thermostat.indexOf(one)}/${i}/${key}`, input);
        set.append(element("label", { text: words }, input));
      }
    });
  }
  set.append(...Object.keys(FIELDS[kind].fields).map((key) => field(kind, one, key)));
  const box = element("div");
  const svg = document.createElementNS(SVG, "svg");
  box.append(svg, element("div", { class: "buttons" }, drop));
  if (kind === "thermostat") {
    box.lastChild.prepend(element("button", {
      type: "button", text: "Add a point",
      onclick: () => {
        const last = one.points[one.points.length - 1];
        one.points.push({ price: Math.round(last.price + 50), setpoint_c: last.setpoint_c });
        touch(true);
      },
    }));
  }
  const shown = element("div", { class: "appliance" }, set, box);
  if (kind !== "must_run") draw.set(one, () => drawAppliance(kind, one, svg));
  return shown;
}

function put(path, value) {
  const input = inputs.get(path);
  if (input && document.activeElement !== input) input.value = value;
}

function drawAppliance(kind, one, svg) {
  const x = [grid[0], grid[grid.length - 1]];
  const focused = document.activeElement?.getAttribute?.("aria-label");
  const again = () => drawAppliance(kind, one, svg);
  if (kind === "thermostat") drawThermostat(one, svg, x, again);
  else drawThresholds(kind, one, svg, x, again);
  if (focused) svg.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

// While a point is dragged its own circle must stay: only places change, all else is drawn at the end.
function mover(again, set) {
  return (x, y, dot) => {
    if (x === null) {
      again();
      touch(false);
      return;
    }
    set(x, y, dot);
    touch(false);
  };
}

function drawThermostat(one, svg, x, again) {
  const all = one.points.map((point) => point.setpoint_c);
  const y = [Math.floor(Math.min(...all, 16)) - 1, Math.ceil(Math.max(...all, 24)) + 1];
  const chart = new Chart(svg, { x, y, height: 190, yName: "set-point, °C", xName: "price, µ/Wh" });
  const first = one.points[0], last = one.points[one.points.length - 1];
  chart.line([[x[0], first.setpoint_c], ...one.points.map((p) => [p.price, p.setpoint_c]), [x[1], last.setpoint_c]], "line");
  const place = edited.thermostat.indexOf(one);
  one.points.forEach((point, i) => chart.handle({
    x: point.price, y: point.setpoint_c, stepX: 5, stepY: 0.1,
    label: `${one.name}, point ${i + 1}`, text: `${point.setpoint_c} degrees at price ${point.price}`,
    moved: mover(again, (px, py, dot) => {
      const low = i ? one.points[i - 1].price + 1 : x[0];
      const high = i + 1 < one.points.length ? one.points[i + 1].price - 1 : x[1];
      point.price = Math.round(within(px, low, high));
      point.setpoint_c = Math.round(within(py, ...y) * 10) / 10;
      dot.setAttribute("cx", chart.px(point.price));
      dot.setAttribute("cy", chart.py(point.setpoint_c));
      put(`thermostat/${place}/${i}/price`, point.price);
      put(`thermostat/${place}/${i}/setpoint_c`, point.setpoint_c);
    }),
  }));
}

function drawThresholds(kind, one, svg, x, again) {
  const power = kind === "battery" ? one.most_w : one.power_w;
  const chart = new Chart(svg, { x, y: kind === "battery" ? [-power, power] : [0, power * 1.2 || 1], height: 150, yName: "W", xName: "price, µ/Wh" });
  if (kind === "switch") chart.steps([[x[0], power], [one.most_price, 0]], "buy", x[1]);
  if (kind === "solar") chart.steps([[x[0], 0], [one.cost, power]], "sell", x[1]);
  if (kind === "battery") {
    chart.steps([[x[0], power], [one.buy_below, 0]], "buy", one.sell_above);
    chart.steps([[one.sell_above, 0], [one.sell_above, -power]], "sell", x[1]);
  }
  const place = edited[kind].indexOf(one);
  for (const key of THRESHOLDS[kind]) {
    chart.handle({
      x: within(one[key], ...x), y: 0, stepX: 5, label: `${one.name}: ${THRESHOLD_NAMES[key]}`, text: `price ${one[key]}`,
      moved: mover(again, (px, _, dot) => {
        let [low, high] = x;
        if (key === "buy_below") high = one.sell_above - 1;
        if (key === "sell_above") low = one.buy_below + 1;
        one[key] = Math.round(within(px, low, high));
        dot.setAttribute("cx", chart.px(one[key]));
        put(`${kind}/${place}/${key}`, one[key]);
      }),
    });
  }
}

function showAppliances() {
  inputs.clear();
  draw.clear();
  const shown = Object.keys(FIELDS).flatMap((kind) => (edited[kind] || []).map((one) => appliance(kind, one)));
  byId("appliances").replaceChildren(...shown);
  for (const again of draw.values()) again();
}

function takeSettings(settings) {
  inUse = settings;
  if (edited === null) {
    edited = structuredClone(settings);
    for (const kind of Object.keys(FIELDS)) edited[kind] ??= [];
    inUse = structuredClone(edited);
    showAppliances();
    touch(false);
  } else {
    for (const kind of Object.keys(FIELDS)) inUse[kind] ??= [];
  }
}

byId("add").append(element("option", { value: "", text: "Add an appliance …" }),
  ...Object.entries(FIELDS).map(([kind, { title }]) => element("option", { value: kind, text: title })));
byId("add").addEventListener("change", () => {
  const kind = byId("add").value;
  byId("add").value = "";
  if (!kind || !edited) return;
  edited[kind].push(FIELDS[kind].make(`${FIELDS[kind].title} ${edited[kind].length + 1}`));
  touch(true);
});
byId("undo").addEventListener("click", () => { edited = structuredClone(inUse); touch(true); });
byId("save").addEventListener("click", async () => {
  const message = byId("save-message");
  try {
    const sent = structuredClone(edited);
    await ask("/api/responses", "PUT", sent);
    inUse = sent;
    touch(false);
    previews += 1;
    message.className = "message good";
    message.textContent = "in use from the next interval";
    clearTimeout(previewTimer);
  } catch (error) {
    message.className = "message bad";
    message.textContent = error.message;
  }
});

function showUse(use) {
  const slots = use.slots;
  const day = slots.slice(-144);
  const total = day.reduce((sum, slot) => sum + slot.import_wh, 0);
  const sold = day.reduce((sum, slot) => sum + slot.export_wh, 0);
  const last = slots[slots.length - 1];
  numbers("use-numbers", [
    ["last slot", last ? kilo(last.import_wh) : "–"], [`in ${day.length} slots`, kilo(total)],
    ...(sold ? [["fed in", kilo(sold)]] : []),
  ]);
  if (!day.length) return;
  const watts = (slot) => ((slot.import_wh - slot.export_wh) * 3600) / use.slot_s / 1000;
  const values = day.map(watts);
  const chart = new Chart(byId("use-chart"), {
    x: [day[0].start_s, last.start_s + use.slot_s], y: [Math.min(0, ...values), Math.max(...values, 0.1) * 1.08],
    yName: "kW from the grid", height: 220, xText: clockTime,
  });
  chart.steps(day.map((slot) => [slot.start_s, watts(slot)]), "line", last.start_s + use.slot_s);
}

function showMarket(rows) {
  const last = rows[rows.length - 1];
  const bought = rows.reduce((sum, row) => sum + (row.buy_wh || 0), 0);
  const sold = rows.reduce((sum, row) => sum + (row.sell_wh || 0), 0);
  const paid = rows.reduce((sum, row) => sum + ((row.buy_wh || 0) - (row.sell_wh || 0)) * (row.price || 0), 0);
  numbers("market-numbers", [
    ["price now", last ? (last.price ?? "void") : "–", last && last.price !== null ? "µ/Wh" : ""],
    ["bought", kilo(bought)], ["sold", kilo(sold)], ["paid", (paid / 1e6).toFixed(2)],
  ]);
  if (!rows.length) return;
  const values = rows.map((row) => (row.buy_wh || 0) - (row.sell_wh || 0));
  const chart = new Chart(byId("market-chart"), {
    x: [0, rows.length], y: [Math.min(0, ...values) * 1.08, Math.max(...values, 10) * 1.08],
    yName: "Wh bought (below 0: sold)", xName: `the last ${rows.length} intervals`, height: 220, xText: () => "",
  });
  chart.bars(values.map((value, i) => [i, value]), 1, "bar");
}

function showExposure(exposure, disclosures) {
  const cap = exposure.cap;
  numbers("exposure-numbers", [
    ["ε a slot", exposure.epsilon_per_slot ?? "no noise"], ["ε an hour", exposure.epsilon_per_hour ?? "no noise"],
    [`ε in ${exposure.window_days} days`, exposure.epsilon_window ?? "no noise", cap ? `of ${cap}` : "no cap is set"],
    ["reports", exposure.slots],
  ]);
  byId("exposure-words").textContent = exposure.words;
  const hours = exposure.hours;
  if (hours.length) {
    const x = [hours[0].start_s, hours[hours.length - 1].start_s + 3600];
    const chart = new Chart(byId("exposure-chart"), {
      x, y: [0, Math.max(...hours.map((hour) => hour.epsilon), 0.1) * 1.1], yName: "ε spent in the hour", height: 150, xText: clockTime,
    });
    chart.bars(hours.map((hour) => [hour.start_s, hour.epsilon, hour.over]), 3600, "bar");
  }
  byId("disclosures").replaceChildren(disclosures.length
    ? element("ul", { class: "plain" }, ...disclosures.slice(-8).reverse().map((one) =>
      element("li", { text: `${dayTime(one.at_s)}: ${one.what} (slots ${one.first_slot} to ${one.last_slot})` })))
    : element("p", { class: "muted", text: "nothing yet" }));
}

const checks = new Map();
function showBills(bills) {
  byId("bills").replaceChildren(...(bills.length ? bills.map((bill) => {
    const result = checks.get(bill.name) || bill;
    const verdict = result.checked === undefined || result.checked === null ? { text: "not checked yet" }
      : result.checked ? { text: "verified", style: "good" } : { text: result.failure, style: "bad" };
    const button = element("button", {
      type: "button", text: "Check it now",
      onclick: async () => {
        button.disabled = true;
        button.textContent = "checking …";
        try { checks.set(bill.name, await ask(`/api/bills/${encodeURIComponent(bill.name)}/check`, "POST", {})); } catch (error) {
          checks.set(bill.name, { checked: false, failure: error.message });
        }
        showBills(bills);
      },
    });
    return element("div", {}, table(bill.name, ["slots", "to pay", "energy", "check"], [[
      `${bill.first_slot} to ${bill.last_slot}`, bill.amount_micro === null ? "–" : (bill.amount_micro / 1e6).toFixed(2),
      bill.energy_wh === null ? "–" : kilo(bill.energy_wh), verdict,
    ]]), element("div", { class: "buttons" }, button));
  }) : [element("p", { class: "muted", text: "no bill yet" })]));
}

let shown = null;
follow("/api/home", 1500, (answer) => {
  const text = JSON.stringify(answer);
  if (text === shown) return;
  shown = text;
  grid = answer.prices;
  byId("who").textContent = answer.note;
  sayInsecure(answer.insecure);
  takeSettings(answer.responses);
  showUse(answer.use);
  showMarket(answer.market);
  showExposure(answer.exposure, answer.disclosures);
  showBills(answer.bills);
});
addEventListener("resize", () => { shown = null; if (edited) { for (const again of draw.values()) again(); preview(); } });
