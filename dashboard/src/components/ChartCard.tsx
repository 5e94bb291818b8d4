import { useRef, useState } from "react";
import type uPlot from "uplot";
import { timeWords, type Chart } from "../lib/chart";
import { chartImage } from "../lib/chart-image";
import type { ChartView } from "../lib/chart-view";
import { chartCsv } from "../lib/csv";
import { downloadFile, fileName } from "../lib/download";
import { windowParams } from "../lib/location";
import { formatClock } from "../lib/units";
import { ChartLegend } from "./ChartLegend";
import { ChartTable } from "./ChartTable";
import { DownloadMenu } from "./DownloadMenu";
import { HeatLegend } from "./HeatLegend";
import { IconChart, IconTable } from "./icons";
import { IconButton } from "./IconButton";
import { PageLink } from "./PageLink";
import { themeColor } from "./theme-color";
import { TimeChart } from "./TimeChart";
import styles from "./ChartCard.module.css";

interface ChartCardProps {
  chart: Chart;
  view: ChartView;
}

/** A titled chart with its legend, which can be switched to a table and downloaded. */
export function ChartCard({ chart, view }: ChartCardProps) {
  const [isTable, setIsTable] = useState(false);
  const [cursor, setCursor] = useState<number | null>(null);
  /** The time of the point that was clicked. */
  const [picked, setPicked] = useState<number | null>(null);
  const plot = useRef<uPlot>(null);
  const label = isTable ? `${chart.title}: view as chart` : `${chart.title}: view as table`;
  const nameOf = (ending: string) => fileName(chart.id, view.window[1], ending);
  const saveImage = async () => {
    const canvas = plot.current?.ctx.canvas;
    const image = canvas && (await chartImage(canvas, chart, view.words, themeColor));
    if (image) downloadFile(nameOf("png"), image);
  };
  const saveTable = () =>
    downloadFile(nameOf("csv"), new Blob([chartCsv(chart)], { type: "text/csv" }));
  return (
    <section className={styles.card} aria-label={chart.title} data-chart={chart.id}>
      <header className={styles.header}>
        <h3 className={styles.title}>{chart.title}</h3>
        {picked === null ? (
          <span className={styles.unit}>
            {cursor === null ? chart.unitWords : timeWords(chart, cursor)}
          </span>
        ) : (
          <RequestsThen time={picked} view={view} />
        )}
        <DownloadMenu
          label={`${chart.title}: download`}
          items={[
            { name: "CSV (numbers)", onChoose: saveTable },
            ...(isTable ? [] : [{ name: "PNG (image)", onChoose: () => void saveImage() }]),
          ]}
        />
        <IconButton label={label} isQuiet onClick={() => setIsTable(!isTable)}>
          {isTable ? <IconChart /> : <IconTable />}
        </IconButton>
      </header>
      {isTable ? (
        <ChartTable chart={chart} />
      ) : (
        <>
          {chart.isHeatmap ? (
            <HeatLegend chart={chart} cursor={cursor} />
          ) : (
            <ChartLegend chart={chart} cursor={cursor} />
          )}
          <TimeChart
            chart={chart}
            view={view}
            cursor={cursor}
            onCursor={setCursor}
            onPick={(index) => setPicked(chart.times[index] ?? null)}
            plotRef={plot}
          />
        </>
      )}
    </section>
  );
}

/** A link to the requests that the clicked point is made of. */
function RequestsThen({ time, view }: { time: number; view: ChartView }) {
  const window: [number, number] = [time - view.pointSeconds, time];
  return (
    <span className={styles.unit} role="status">
      <PageLink page="requests" changes={windowParams(window)} className={styles.then}>
        requests {formatClock(window[0])} to {formatClock(time)}
      </PageLink>
    </span>
  );
}
