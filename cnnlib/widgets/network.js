// Runs a program exported by cnnlib/program.py: a trained network in plain JavaScript, on float32.
// Maps of shape [channels, height, width] are one Float32Array, row by row; a vector has [length].

/** Half-precision numbers (a DataView, little-endian) as float32. */
export function decodeHalf(view) {
  const numbers = new Float32Array(view.byteLength / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = view.getUint16(2 * i, true);
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) numbers[i] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0)
      numbers[i] = sign * 2 ** -24 * fraction; // subnormal
    else numbers[i] = sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  }
  return numbers;
}

const outputLength = (length, kernel, stride, padding = 0) =>
  Math.floor((length + 2 * padding - kernel) / stride) + 1;

function conv2d({ shape: [, height, width], values }, { weight, bias, stride, padding, groups }) {
  const [maps, perGroup, kh, kw] = weight.shape;
  const rows = outputLength(height, kh, stride[0], padding[0]);
  const columns = outputLength(width, kw, stride[1], padding[1]);
  const result = new Float32Array(maps * rows * columns);
  let at = 0;
  for (let map = 0; map < maps; map++) {
    const firstInput = Math.floor(map / (maps / groups)) * perGroup;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let sum = bias ? bias.values[map] : 0;
        for (let c = 0; c < perGroup; c++) {
          for (let u = 0; u < kh; u++) {
            const r = i * stride[0] + u - padding[0];
            if (r < 0 || r >= height) continue;
            const pixels = ((firstInput + c) * height + r) * width;
            const weights = ((map * perGroup + c) * kh + u) * kw;
            for (let v = 0; v < kw; v++) {
              const q = j * stride[1] + v - padding[1];
              if (q >= 0 && q < width) sum += values[pixels + q] * weight.values[weights + v];
            }
          }
        }
        result[at++] = sum;
      }
    }
  }
  return { shape: [maps, rows, columns], values: result };
}

/** Slides a window over each map; `start` and `join` say what becomes of its values. */
function pool({ shape, values }, { kernel_size: [kh, kw], stride }, start, join) {
  const [maps, height, width] = shape;
  const [rows, columns] = [outputLength(height, kh, stride[0]), outputLength(width, kw, stride[1])];
  const result = new Float32Array(maps * rows * columns);
  let at = 0;
  for (let map = 0; map < maps; map++) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let joined = start;
        for (let u = 0; u < kh; u++) {
          const line = (map * height + i * stride[0] + u) * width + j * stride[1];
          for (let v = 0; v < kw; v++) joined = join(joined, values[line + v]);
        }
        result[at++] = joined;
      }
    }
  }
  return { shape: [maps, rows, columns], values: result };
}

const each = ({ shape, values }, change) => ({ shape, values: values.map(change) });

/** For every row of a matrix: the sum of join(weight, input) over its columns. */
function reduceRows({ shape: [rows, columns], values: matrix }, inputs, start, join) {
  const result = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = start(row);
    for (let i = 0; i < columns; i++) sum += join(matrix[row * columns + i], inputs[i]);
    result[row] = sum;
  }
  return { shape: [rows], values: result };
}

export const OPERATIONS = {
  conv2d,
  linear: ({ values }, { weight, bias }) =>
    reduceRows(
      weight,
      values,
      (row) => (bias ? bias.values[row] : 0),
      (w, x) => w * x,
    ),
  affine: ({ shape, values }, { scale, shift }) => {
    const area = shape[1] * shape[2];
    const map = (i) => Math.floor(i / area);
    return each({ shape, values }, (x, i) => x * scale.values[map(i)] + shift.values[map(i)]);
  },
  avg_pool2d: (x, op) => {
    const area = op.kernel_size[0] * op.kernel_size[1];
    return pool(x, op, 0, (sum, value) => sum + value / area);
  },
  max_pool2d: (x, op) => pool(x, op, -Infinity, Math.max),
  relu: (x) => each(x, (value) => Math.max(0, value)),
  scaled_tanh: (x, { amplitude, slope }) =>
    each(x, (value) => amplitude * Math.tanh(slope * value)),
  flatten: ({ values }) => ({ shape: [values.length], values }),
  rbf: ({ values }, { codes }) =>
    reduceRows(
      codes,
      values,
      () => 0,
      (code, x) => -((x - code) ** 2),
    ),
};

/** Finds the weights of each operation once, as views into one array. */
export function prepare(ops, numbers) {
  const tensor = ({ at, shape }) => {
    const count = shape.reduce((product, side) => product * side, 1);
    return { shape, values: numbers.subarray(at, at + count) };
  };
  return ops.map((op) => {
    if (!(op.op in OPERATIONS)) throw new Error(`network.js has no operation "${op.op}"`);
    const isTensor = (value) => value !== null && typeof value === "object" && "shape" in value;
    return Object.fromEntries(
      Object.entries(op).map(([name, value]) => [name, isTensor(value) ? tensor(value) : value]),
    );
  });
}

/**
 * Runs a prepared program on one image. Returns the scores and what came out of every stage:
 * { scores: Float32Array, stages: [{ name, shape, values }] }.
 */
export function run(program, image, shape) {
  let x = { shape, values: Float32Array.from(image) };
  const stages = [];
  for (const op of program) {
    x = OPERATIONS[op.op](x, op);
    if (op.stage) stages.push({ name: op.stage, ...x });
  }
  return { scores: x.values, stages };
}

/** Scores as probabilities. */
export function softmax(scores) {
  const largest = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
