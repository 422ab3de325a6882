/** Answers one question in this process and sends the answer to its parent. */
import { argv } from 'node:process';
import { questions } from './questions.js';

const question = questions.find(({ name }) => name === argv[2]);
const answer = await question?.answer();
process.send?.(answer, () => process.exit(0));
