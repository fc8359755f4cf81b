// A field to sign in: with a mouse, a pen, a finger, or by typing a name.

const WIDTH = 640;
const HEIGHT = 240;
const INK = "#10183a";

/** Makes a canvas a field to sign in; `changed` is informed whether there is anything on it. */
export function signatureField(canvas, changed) {
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  let last = null;
  let empty = true;

  function clear() {
    // White paper, in the dark as well: the picture is printed on receipts.
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, WIDTH, HEIGHT);
    pen.strokeStyle = pen.fillStyle = INK;
    pen.lineCap = pen.lineJoin = "round";
    last = null;
    empty = true;
    changed(false);
  }

  function drawn() {
    empty = false;
    changed(true);
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * WIDTH) / box.width,
      y: ((event.clientY - box.top) * HEIGHT) / box.height,
    };
  }

  function lineTo(point, pressure) {
    pen.lineWidth = 3 + 3 * pressure;
    pen.beginPath();
    pen.moveTo(last.x, last.y);
    // A dot is drawn as a line.
    pen.lineTo(point.x + 0.01, point.y);
    pen.stroke();
    last = point;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    lineTo(last, event.pressure || 0.5);
    drawn();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) lineTo(at(step), step.pressure || 0.5);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => (last = null));
  }

  return {
    clear,
    isEmpty: () => empty,
    /** Draws a typed name in a handwritten style. */
    write(name) {
      clear();
      if (name.trim() === "") return;
      let size = 96;
      do {
        pen.font = `italic ${size}px "Snell Roundhand", "Segoe Script", cursive`;
        size -= 4;
      } while (pen.measureText(name).width > WIDTH - 60 && size > 16);
      pen.textBaseline = "middle";
      pen.fillText(name, 30, HEIGHT / 2);
      drawn();
    },
    /** The picture, a PNG in Base64. */
    image: () => canvas.toDataURL("image/png").split(",")[1],
  };
}
