/** A sparkline's two paths, in a box of `width` × `height`. */

export interface Spark {
  line: string;
  area: string;
}

export function spark(values: readonly number[], width = 120, height = 28): Spark {
  const highest = Math.max(...values, 1);
  const step = width / Math.max(values.length - 1, 1);
  const points = values.map((value, index) => {
    const x = round(index * step);
    const y = round(height - 0.75 - (value / highest) * (height - 2));
    return `${x} ${y}`;
  });
  const line = `M${points.join("L")}`;
  return { line, area: `${line}L${width} ${height}L0 ${height}Z` };
}

const round = (value: number): number => Math.round(value * 10) / 10;
