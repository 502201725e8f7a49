// Every board, in the order that a person in trouble goes through them.

import type { Board } from "./board";
import { dependencies } from "./dependencies";
import { guard } from "./guard";
import { latency } from "./latency";
import { media } from "./media";
import { observersBoard } from "./observers";
import { overview } from "./overview";
import { placement } from "./placement";
import { runtime } from "./runtime";
import { sessions } from "./sessions";
import { variants } from "./variants";

export const BOARDS: readonly Board[] = [
  overview,
  latency,
  sessions,
  media,
  placement,
  dependencies,
  runtime,
  guard,
  variants,
  observersBoard,
];
