/** What the benchmark asks, in this order. */
import { chunks } from './chunks.js';
import type { Question } from './support/report.js';
import { turns } from './turns.js';

export const questions: readonly Question[] = [chunks, turns];
