// The operator's page: sums and streets. There is no home in what it is given.

let market = [];
let chosen = null; // an interval's place, null follows the newest

function showClearing() {
  const at = chosen === null ? market.length - 1 : Math.min(chosen, market.length - 1);
  byId("before").disabled = at <= 0;
  byId("after").disabled = at >= market.length - 1;
  byId("newest").disabled = chosen === null;
  if (at < 0) {
    byId("which").textContent = "no interval yet";
    return;
  }
  const one = market[at];
  byId("which").textContent = `interval ${one.interval}${one.start_s ? `, ${clockTime(one.start_s)}` : ""}`;
  const svg = byId("clearing-chart");
  if (one.void) {
    svg.replaceChildren();
    byId("clearing-table").replaceChildren();
    numbers("market-numbers", [["interval", "void"], ["price", one.price ?? "–", "fallback"], ["why", one.void]]);
    return;
  }
  numbers("market-numbers", [
    ["price", one.price, "µ/Wh"], ["traded", kilo(one.traded_wh)],
    ["state", one.scarcity ? "scarce: supply is short" : one.surplus ? "surplus" : "cleared"],
    ["homes in the sum", one.homes],
  ]);
  // A utility's last step is far above what homes want: the picture ends at twice the demand.
  const top = Math.max(1, Math.min(Math.max(...one.demand, ...one.supply), 2 * Math.max(...one.demand, one.traded_wh))) / 1000;
  const prices = one.prices;
  const chart = new Chart(svg, {
    x: [prices[0], prices[prices.length - 1]], y: [0, top * 1.05], height: 300,
    xName: "price, µ/Wh", yName: "kWh in the interval",
  });
  const points = (amounts) => prices.map((price, i) => [price, Math.min(top * 1.05, amounts[i] / 1000)]);
  chart.steps(points(one.demand), "buy");
  chart.steps(points(one.supply), "sell");
  chart.text(chart.px(prices[0]) + 6, chart.py(one.demand[0] / 1000) - 6, "demand", "start", "label-buy");
  const last = prices.length - 1;
  chart.text(chart.px(prices[last]) - 2, chart.py(Math.min(top * 1.05, one.supply[last] / 1000)) - 6, "supply", "end", "label-sell");
  const [px, py] = [chart.px(one.price), chart.py(one.traded_wh / 1000)];
  chart.add("path", { class: "point-line", d: `M${px} ${chart.height - chart.bottom}V${py}H${chart.left}` });
  chart.add("circle", { class: "point", r: 7, cx: px, cy: py });
  chart.text(px + 10, py - 10, `${one.price} µ/Wh`, "start", "label-mark");
  byId("clearing-table").replaceChildren(table(
    "Totals at each price", ["price, µ/Wh", "demand, Wh", "supply, Wh"],
    prices.map((price, i) => [price, one.demand[i], one.supply[i]])));
}

function showHistory() {
  const found = market.filter((one) => one.price !== null);
  if (!found.length) return;
  const timed = found.every((one) => one.start_s !== null);
  const at = (one) => (timed ? one.start_s : one.interval);
  const width = found.length > 1 ? at(found[1]) - at(found[0]) : 1;
  const x = [at(found[0]), at(found[found.length - 1]) + width];
  const prices = found.map((one) => one.price);
  const label = timed ? { xText: clockTime, height: 170 } : { xName: "interval", height: 170 };
  const history = new Chart(byId("price-chart"), {
    x, y: [Math.min(0, ...prices), Math.max(...prices, 1) * 1.08], yName: "price, µ/Wh", ...label,
  });
  history.steps(found.map((one) => [at(one), one.price]), "line", x[1]);
  const traded = new Chart(byId("traded-chart"), {
    x, y: [0, Math.max(...found.map((one) => one.traded_wh / 1000), 0.001) * 1.08], yName: "traded, kWh", ...label,
  });
  traded.bars(found.map((one) => [at(one), (one.traded_wh || 0) / 1000]), width, "bar");
}

function showStreets(streets) {
  byId("streets").replaceChildren(table(
    "What the operator may know of each street",
    ["street", "meters alive", "epoch", "ε a slot", "noise (one standard deviation)", "slots", "void", "over their own cap", "messages refused"],
    streets.map((one) => [
      one.street, `${one.alive} of ${one.meters}`, one.epoch, one.epsilon_per_slot ?? "no noise",
      one.noise_sd_wh === null ? "none" : kilo(one.noise_sd_wh), one.slots_seen,
      { text: one.void, style: one.void ? "bad" : "" }, one.over_cap, { text: one.refused, style: one.refused ? "bad" : "" },
    ])));
  const street = streets[0];
  if (!street) return;
  const slots = street.slots;
  byId("slots").replaceChildren(table(
    "Newest first", ["slot", "began", "state", "silent", "total"],
    slots.slice(-12).reverse().map((slot) => [
      slot.slot, clockTime(slot.start_s), { text: slot.state, style: slot.state === "void" ? "bad" : "" },
      slot.silent, slot.total_wh === null ? slot.reason : kilo(slot.total_wh),
    ])));
  const told = slots.filter((slot) => slot.total_wh !== null);
  byId("noise-words").textContent = street.noise_sd_wh === null ? "No noise is added: insecure."
    : `The noise alone has a standard deviation of ${kilo(street.noise_sd_wh)}; the band is one to each side. Void slots have no total.`;
  if (!told.length) return;
  const first = slots[0].slot, end = slots[slots.length - 1].slot + 1;
  const sd = (street.noise_sd_wh || 0) / 1000;
  const values = told.map((slot) => slot.total_wh / 1000);
  const chart = new Chart(byId("total-chart"), {
    x: [first, end], y: [Math.min(0, ...values.map((v) => v - sd)), Math.max(...values.map((v) => v + sd), 0.1)],
    yName: "kWh in the slot", xName: "slot", height: 240,
  });
  for (const slot of told) {
    const [x, y] = [slot.slot, slot.total_wh / 1000];
    chart.line([[x + 0.5, y - sd], [x + 0.5, y + sd]], "faint");
    chart.line([[x, y], [x + 1, y]], "line");
  }
}

byId("before").addEventListener("click", () => { chosen = (chosen ?? market.length - 1) - 1; showClearing(); });
byId("after").addEventListener("click", () => {
  chosen = (chosen ?? market.length - 1) + 1;
  if (chosen >= market.length - 1) chosen = null;
  showClearing();
});
byId("newest").addEventListener("click", () => { chosen = null; showClearing(); });

let shown = null;
follow("/api/operator", 1000, (answer) => {
  const text = JSON.stringify(answer);
  if (text === shown) return;
  shown = text;
  market = answer.market;
  byId("who").textContent = answer.note;
  sayInsecure(answer.insecure);
  showClearing();
  showHistory();
  showStreets(answer.streets);
});
addEventListener("resize", () => { shown = null; });
