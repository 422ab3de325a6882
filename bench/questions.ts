/** What the benchmark asks, in this order. */
import { bytes } from './bytes.js';
import { chunks } from './chunks.js';
import { drafts } from './drafts.js';
import { host } from './host.js';
import { idle } from './idle.js';
import { resumes } from './resume.js';
import { stores } from './stores.js';
import type { Question } from './support/report.js';
import { turns } from './turns.js';

export const questions: readonly Question[] = [chunks, turns, bytes, idle, resumes, drafts, host, stores];
