/** Small charts without axes. Each has a number beside it that says what it shows. */

import type { ReactNode } from "react";
import { memo } from "react";
import { spark } from "@/pages/live/spark.js";

export const Spark = memo(function Spark({ values, label }: { values: readonly number[]; label: string }): ReactNode {
  const { line, area } = spark(values);
  return (
    <svg className="spark" viewBox="0 0 120 28" preserveAspectRatio="none" role="img" aria-label={label}>
      <path className="spark-area" d={area} />
      <path className="spark-line" d={line} />
    </svg>
  );
});

export function Bars({ values }: { values: readonly number[] }): ReactNode {
  const highest = Math.max(...values, 1);
  return (
    <svg className="bars" viewBox="0 0 62 30" aria-hidden="true">
      {values.map((value, index) => {
        const height = Math.max((value / highest) * 30, 1.5);
        return <rect key={index} x={index * 9} y={30 - height} width="6.5" height={height} rx="1.5" />;
      })}
    </svg>
  );
}
