'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
const PATCH = '#56b4e9';   // the patch pointed at
const MATCH = '#ffffff';   // its match
const VIEWS = ['first image', 'second image'];

/** One thing is pointed at: a place (x, y) in shares of a view's width and height, the same for all models. */
const state = { pair: 0, view: 0, x: 0.5, y: 0.5, pinned: false };

function bytes(text, Type) {
  return new Type(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
}

function rgb(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}
const stops = data.colours.map(rgb);

/** The colour of a value from 0 to 1, between the two nearest stops. */
function heat(value) {
  const at = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  return stops[low].map((channel, index) => channel + (at - low) * (stops[low + 1][index] - channel));
}

/** Similarities of a pair are unpacked when it is first shown. */
function unpacked(model, pair) {
  const match = model.matches[pair];
  if (!match.levels) {
    match.levels = bytes(match.similarities, Uint8Array);
    match.target = match.targets.map((text) => bytes(text, Uint16Array));
    match.strength = match.strengths.map((text) => bytes(text, Float32Array));
  }
  return match;
}

function cellAt([rows, columns], x, y) {
  const clamped = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  return clamped(y, rows) * columns + clamped(x, columns);
}

const centre = ([rows, columns], cell) => [
  ((cell % columns) + 0.5) / columns, (Math.floor(cell / columns) + 0.5) / rows];

/** What a model says of the patch pointed at. */
function lookUp(model) {
  const match = unpacked(model, state.pair), count = model.grid[0] * model.grid[1];
  const cell = cellAt(model.grid, state.x, state.y), other = 1 - state.view;
  const target = match.target[state.view][cell];
  const levels = state.view === 0
    ? match.levels.subarray(cell * count, (cell + 1) * count)
    : Float32Array.from({ length: count }, (_, index) => match.levels[index * count + cell]);
  return {
    cell, target, levels, low: match.low, high: match.high, similarity: match.strength[state.view][cell],
    mutual: match.target[other][target] === cell,
  };
}

/** Where the other view shows what the centre of a patch shows: null if it does not, or if that is not known. */
function trueMatch(grid, cell) {
  const places = data.pairs[state.pair].places;
  if (!places) return null;
  const [from, to] = [places[state.view], places[1 - state.view]];
  const [x, y] = centre(grid, cell);
  const along = from.box[0] + (from.flip ? 1 - x : x) * (from.box[2] - from.box[0]);
  const down = from.box[1] + y * (from.box[3] - from.box[1]);
  const share = (along - to.box[0]) / (to.box[2] - to.box[0]);
  const point = [to.flip ? 1 - share : share, (down - to.box[1]) / (to.box[3] - to.box[1])];
  return point.every((value) => value >= 0 && value < 1) ? point : null;
}

function place([rows, columns], cell) {
  return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
}

// --- Drawing

function outline(context, scale, x, y, width, height, colour, dash) {
  for (const [ink, thickness] of [['#000', 4], [colour, 2]]) {
    context.lineWidth = thickness * scale;
    context.strokeStyle = ink;
    context.setLineDash(dash ? [5 * scale, 3 * scale] : []);
    context.strokeRect(x, y, width, height);
  }
}

function box(canvas, grid, cell, colour) {
  const width = canvas.width / grid[1], height = canvas.height / grid[0], scale = canvas.width / canvas.clientWidth;
  outline(canvas.getContext('2d'), scale, (cell % grid[1]) * width, Math.floor(cell / grid[1]) * height, width, height, colour);
}

function ring(canvas, [x, y]) {
  const context = canvas.getContext('2d'), scale = canvas.width / canvas.clientWidth;
  for (const [ink, thickness] of [['#000', 4], ['#009e73', 2]]) {
    context.lineWidth = thickness * scale;
    context.strokeStyle = ink;
    context.setLineDash([]);
    context.beginPath();
    context.arc(x * canvas.width, y * canvas.height, 9 * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}

function withoutColour(canvas) {
  const context = canvas.getContext('2d');
  context.globalCompositeOperation = 'saturation';
  context.fillStyle = '#808080';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = 'source-over';
}

/** The cells of a grid as heat over a grey image. */
function drawHeat(canvas, grid, found, range) {
  const context = canvas.getContext('2d'), small = element('canvas', { height: grid[0], width: grid[1] });
  const pixels = new ImageData(grid[1], grid[0]);
  found.levels.forEach((level, cell) => {
    const value = found.low + (level * (found.high - found.low)) / 255;
    const share = (value - range[0]) / (range[1] - range[0] || 1);
    pixels.data.set([...heat(share), 255], 4 * cell);
  });
  small.getContext('2d').putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.globalAlpha = byId('opacity').value / 100;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
}

function fit(canvas, sides) {
  const width = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
  const height = Math.round((width * sides[1]) / sides[0]);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

function draw(panel) {
  const { model, canvases, output, scale } = panel, pair = data.pairs[state.pair];
  const found = lookUp(model), other = 1 - state.view;
  let range = [found.low, found.high];
  if (byId('stretch').checked) {
    const step = (found.high - found.low) / 255;
    range = [Math.min(...found.levels), Math.max(...found.levels)].map((level) => found.low + level * step);
  }
  canvases.forEach((canvas, view) => {
    fit(canvas, pair.sides[view]);
    canvas.getContext('2d').drawImage(images[state.pair][view], 0, 0, canvas.width, canvas.height);
  });
  withoutColour(canvases[other]);
  drawHeat(canvases[other], model.grid, found, range);
  box(canvases[state.view], model.grid, found.cell, PATCH);
  box(canvases[other], model.grid, found.target, MATCH);
  const truth = trueMatch(model.grid, found.cell);
  if (truth) ring(canvases[other], truth);
  const [low, high] = range.map((value) => value.toFixed(2));
  scale.replaceChildren(low, element('i', { style: `background: linear-gradient(90deg, ${data.colours})` }), `${high} cosine similarity`);
  describe(output, model, found, truth);
}

function describe(output, model, found, truth) {
  const strong = element('strong', {}, `similarity ${found.similarity.toFixed(3)}`);
  const parts = [`${place(model.grid, found.cell)} → ${place(model.grid, found.target)}`];
  parts.push(found.mutual ? 'mutual' : 'one-way');
  if (data.pairs[state.pair].places) {
    if (truth) {
      const [x, y] = centre(model.grid, found.target);
      const away = Math.hypot((truth[0] - x) * model.grid[1], (truth[1] - y) * model.grid[0]);
      parts.push(`${away.toFixed(1)} patches from the true place`);
    } else parts.push('the other view does not show this place');
  }
  output.replaceChildren(strong, ` · ${parts.join(' · ')}`);
  Object.assign(output.dataset, { cell: found.cell, target: found.target, similarity: found.similarity });
}

function drawAll() {
  document.body.classList.toggle('pinned', state.pinned);
  panels.filter((panel) => !panel.section.hidden).forEach(draw);
}

// --- Pointing

function pointed(canvas, event) {
  const frame = canvas.getBoundingClientRect();
  return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
}

function listen(canvas, view, model) {
  canvas.addEventListener('pointermove', (event) => {
    if (state.pinned || event.pointerType === 'touch') return;
    const [x, y] = pointed(canvas, event);
    Object.assign(state, { view, x, y });
    drawAll();
  });
  canvas.addEventListener('click', (event) => {
    const [x, y] = pointed(canvas, event);
    const same = state.view === view && cellAt(model.grid, x, y) === cellAt(model.grid, state.x, state.y);
    Object.assign(state, { view, x, y, pinned: !(state.pinned && same) });
    drawAll();
  });
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === 'Enter' || event.key === ' ') state.pinned = !state.pinned;
    else if (step) {
      const from = state.view === view ? [state.x, state.y] : [0.5, 0.5];
      const cell = cellAt(model.grid, ...from), [rows, columns] = model.grid;
      const column = Math.min(Math.max((cell % columns) + step[0], 0), columns - 1);
      const row = Math.min(Math.max(Math.floor(cell / columns) + step[1], 0), rows - 1);
      const [x, y] = centre(model.grid, row * columns + column);
      Object.assign(state, { view, x, y });
    } else return;
    event.preventDefault();
    drawAll();
  });
}
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && state.pinned) { state.pinned = false; drawAll(); }
});

// --- Page

function panelOf(model) {
  const canvases = VIEWS.map((name, view) => {
    const canvas = element('canvas', { tabIndex: 0 });
    canvas.setAttribute('role', 'application');
    canvas.setAttribute('aria-label', `${model.name}, ${name}: arrow keys choose a patch`);
    listen(canvas, view, model);
    return canvas;
  });
  const output = element('output'), scale = element('div', { className: 'scale' });
  const heading = element('h2', {}, model.name);
  const section = element('section', { className: 'panel' }, heading,
    element('div', { className: 'views' }, ...canvases), output, scale);
  if (`${model.grid}` !== `${model.computed}`) {
    section.append(element('p', { className: 'note' },
      `Features of ${model.computed.join(' × ')} patches, averaged to ${model.grid.join(' × ')} to keep this page small.`));
  }
  return { model, canvases, output, scale, section };
}

const images = data.pairs.map((pair) => pair.images.map((source) => element('img', { src: source, alt: '' })));
const panels = data.models.map(panelOf);
byId('panels').append(...panels.map((panel) => panel.section));

data.pairs.forEach((pair, index) => {
  const input = element('input', { type: 'radio', name: 'pair', checked: index === 0 });
  input.addEventListener('change', () => { Object.assign(state, { pair: index, pinned: false }); drawAll(); });
  input.setAttribute('aria-label', pair.title);
  byId('pairs').append(element('label', { title: pair.title }, input, element('img', { src: pair.images[0], alt: '' })));
});
byId('pairs').hidden = data.pairs.length < 2;

panels.forEach(({ model, section }) => {
  const input = element('input', { type: 'checkbox', checked: true });
  input.addEventListener('change', () => { section.hidden = !input.checked; drawAll(); });
  byId('models').append(element('label', {}, input, model.name));
});
byId('models').hidden = data.models.length < 2;
for (const id of ['stretch', 'opacity']) byId(id).addEventListener('input', drawAll);
window.addEventListener('resize', drawAll);
Promise.all(images.flat().map((image) => image.decode())).then(drawAll);
