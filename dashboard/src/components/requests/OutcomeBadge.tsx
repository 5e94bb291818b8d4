import { outcomeTone } from "../../lib/requests";
import { Chip } from "../Chip";

/** How a request ended. */
export function OutcomeBadge({ outcome }: { outcome: string }) {
  return <Chip tone={outcomeTone(outcome)}>{outcome.replaceAll("_", " ")}</Chip>;
}
