// Plain charts as SVG, drawn anew with every change.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function niceStep(span, wanted) {
  const raw = span / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= raw * 0.999);
}

function ticks(low, high, wanted, isTime) {
  const nice = niceStep(high - low, wanted);
  const step = isTime ? [900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].find((s) => s >= nice) || nice : nice;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found;
}

// Axes in a box; gives what turns values into places and back.
class Chart {
  constructor(svg, { x, y, height = 220, width, xName = "", yName = "", xText = String, left = 58, keep = false }) {
    this.svg = svg;
    this.width = width || Math.max(280, Math.round(svg.parentElement.clientWidth) || 560);
    this.height = height;
    this.left = left; this.right = 14; this.top = 20; this.bottom = 36;
    this.x = x[1] > x[0] ? x : [x[0], x[0] + 1];
    this.y = y[1] > y[0] ? y : [y[0], y[0] + 1];
    svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    if (!keep) svg.replaceChildren();
    this._axes(xName, yName, xText);
  }

  px(value) {
    return this.left + ((value - this.x[0]) / (this.x[1] - this.x[0])) * (this.width - this.left - this.right);
  }

  py(value) {
    return this.height - this.bottom
      - ((value - this.y[0]) / (this.y[1] - this.y[0])) * (this.height - this.top - this.bottom);
  }

  // Values at a place of the pointer.
  at(event) {
    const box = this.svg.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * this.width;
    const down = ((event.clientY - box.top) / box.height) * this.height;
    return [
      this.x[0] + ((across - this.left) / (this.width - this.left - this.right)) * (this.x[1] - this.x[0]),
      this.y[0] + ((this.height - this.bottom - down) / (this.height - this.top - this.bottom)) * (this.y[1] - this.y[0]),
    ];
  }

  _axes(xName, yName, xText) {
    const floor = this.height - this.bottom;
    for (const value of ticks(...this.y, Math.max(2, Math.round(this.height / 60)))) {
      this.add("path", { class: "axis", d: `M${this.left} ${this.py(value)}H${this.width - this.right}` });
      this.text(this.left - 6, this.py(value) + 4, String(+value.toPrecision(6)), "end");
    }
    for (const value of ticks(...this.x, Math.max(2, Math.round(this.width / 110)), xText === clockTime)) {
      this.text(this.px(value), floor + 16, xText(+value.toPrecision(12)), "middle");
    }
    if (xName) this.text(this.width - this.right, this.height - 4, xName, "end");
    if (yName) this.text(2, 12, yName, "start");
  }

  add(name, attributes, ...children) {
    const made = shape(name, attributes, ...children);
    this.svg.append(made);
    return made;
  }

  text(x, y, words, anchor = "start", style = "") {
    const made = this.add("text", { x, y, "text-anchor": anchor, class: style });
    made.textContent = words;
    return made;
  }

  line(points, style) {
    if (!points.length) return;
    const d = points.map(([x, y], i) => `${i ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`).join("");
    this.add("path", { class: style, d });
  }

  // Each value holds from its x to the next.
  steps(points, style, end) {
    if (!points.length) return;
    let d = "";
    points.forEach(([x, y], i) => {
      d += i ? `H${this.px(x).toFixed(1)}V${this.py(y).toFixed(1)}` : `M${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`;
    });
    if (end !== undefined) d += `H${this.px(end).toFixed(1)}`;
    this.add("path", { class: style, d });
  }

  bars(points, width, style) {
    for (const [x, y, over] of points) {
      const top = this.py(Math.max(y, 0)), low = this.py(Math.min(y, 0));
      this.add("rect", {
        class: over ? `${style} over` : style, x: this.px(x), y: top,
        width: Math.max(1, this.px(x + width) - this.px(x) - 1), height: Math.max(0.5, low - top),
      });
    }
  }

  // A point to drag, or to move by the arrow keys. moved(x, y) may correct; both are in values.
  handle({ x, y, label, stepX, stepY = 0, moved, text }) {
    const dot = this.add("circle", {
      class: "handle", r: 9, cx: this.px(x), cy: this.py(y), tabindex: 0, role: "slider",
      "aria-label": label, "aria-valuenow": Math.round(x), "aria-valuetext": text,
      "aria-valuemin": this.x[0], "aria-valuemax": this.x[1],
    });
    dot.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      dot.focus();
      dot.setPointerCapture(event.pointerId);
      const drag = (next) => {
        const [px, py] = this.at(next);
        moved(px, py, dot);
      };
      const done = () => {
        dot.removeEventListener("pointermove", drag);
        moved(null, null, dot);
      };
      dot.addEventListener("pointermove", drag);
      dot.addEventListener("pointerup", done, { once: true });
      dot.addEventListener("pointercancel", done, { once: true });
    });
    dot.addEventListener("keydown", (event) => {
      const many = event.shiftKey ? 10 : 1;
      const way = {
        ArrowLeft: [-stepX, 0], ArrowRight: [stepX, 0], ArrowUp: [0, stepY], ArrowDown: [0, -stepY],
      }[event.key];
      if (!way) return;
      event.preventDefault();
      // Without a second direction, up and down are more and less too.
      const [dx, dy] = stepY ? way : [way[0] || (event.key === "ArrowUp" ? stepX : event.key === "ArrowDown" ? -stepX : 0), 0];
      moved(x + many * dx, y + many * dy, dot);
      moved(null, null, dot);
    });
    return dot;
  }
}
