/** Writes the JSON Schema files beside their Zod sources: `npm run schemas`. */
import { writeFileSync } from 'node:fs';
import { jsonSchemas } from './json-schema.js';

for (const [file, text] of Object.entries(jsonSchemas())) writeFileSync(new URL(file, import.meta.url), text);
