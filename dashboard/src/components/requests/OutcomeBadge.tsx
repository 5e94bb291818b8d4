import { outcomeTone } from "../../lib/requests";
import { Chip } from "../Chip";

/** The outcome of a request as a coloured badge. */
export function OutcomeBadge({ outcome }: { outcome: string }) {
  return <Chip tone={outcomeTone(outcome)}>{outcome.replaceAll("_", " ")}</Chip>;
}
