import { formatSeconds } from "../../../lib/units";
import { LEVELS, type Quantiles } from "./levels";
import styles from "./SweepChart.module.css";

interface Point extends Quantiles {
  streams: number;
}

interface SweepChartProps {
  title: string;
  points: Point[];
  /** In seconds; drawn if the lines come near it. */
  objective: number;
}

const [WIDTH, HEIGHT] = [400, 180];
const [LEFT, RIGHT, TOP, BOTTOM] = [62, 12, 10, 38];

/** Two quantiles against the number of streams, each level one step to the right. */
export function SweepChart({ title, points, objective }: SweepChartProps) {
  const highest = Math.max(...points.map(({ p50, p95 }) => Math.max(p50, p95)));
  const isObjectiveShown = highest > objective / 3;
  const top = 1.1 * (isObjectiveShown ? Math.max(highest, objective) : highest) || 1;
  const step = (WIDTH - LEFT - RIGHT) / LEVELS.length;
  const x = (streams: number) => LEFT + step * (LEVELS.findIndex((n) => n === streams) + 0.5);
  const y = (seconds: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - seconds / top);
  const line = (name: keyof Quantiles) =>
    points.map((point) => `${x(point.streams)},${y(point[name])}`).join(" ");
  const words = points.map(
    ({ streams, p50, p95 }) => `${streams}: p50 ${formatSeconds(p50)}, p95 ${formatSeconds(p95)}`,
  );
  return (
    <figure className={styles.figure}>
      <figcaption className={styles.caption}>
        <span className={styles.title}>{title}</span>
        <span className={styles.legend}>
          <span className={styles.p50}>p50</span> <span className={styles.p95}>p95</span>
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        className={styles.chart}
        role="img"
        aria-label={`${title} by streams at once. ${words.join("; ")}`}
      >
        {[0, 0.5, 1].map((share) => (
          <g key={share}>
            <line
              className={styles.grid}
              x1={LEFT}
              x2={WIDTH - RIGHT}
              y1={y(top * share)}
              y2={y(top * share)}
            />
            <text className={styles.tick} x={LEFT - 6} y={y(top * share) + 4} textAnchor="end">
              {formatSeconds(top * share)}
            </text>
          </g>
        ))}
        {LEVELS.map((streams) => (
          <text
            key={streams}
            className={styles.tick}
            x={x(streams)}
            y={HEIGHT - 20}
            textAnchor="middle"
          >
            {streams}
          </text>
        ))}
        <text
          className={styles.tick}
          x={(LEFT + WIDTH - RIGHT) / 2}
          y={HEIGHT - 4}
          textAnchor="middle"
        >
          streams at once
        </text>
        {isObjectiveShown && (
          <>
            <line
              className={styles.objective}
              x1={LEFT}
              x2={WIDTH - RIGHT}
              y1={y(objective)}
              y2={y(objective)}
            />
            <text className={styles.tick} x={LEFT + 4} y={y(objective) - 4}>
              objective
            </text>
          </>
        )}
        {(["p50", "p95"] as const).map((name) => (
          <g key={name} className={styles[name]}>
            <polyline points={line(name)} />
            {points.map((point) => (
              <circle key={point.streams} cx={x(point.streams)} cy={y(point[name])} r="3" />
            ))}
          </g>
        ))}
      </svg>
    </figure>
  );
}
