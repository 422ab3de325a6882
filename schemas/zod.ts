/** Zod as Genkit uses it (the 3 line), named in one place. */
export { z } from 'zod';
