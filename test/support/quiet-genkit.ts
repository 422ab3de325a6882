/** Genkit logs every error of a plugin; a test that makes them on purpose imports this. */
import { logger } from 'genkit/logging';

const nothing = () => {};

logger.init({ debug: nothing, info: nothing, warn: nothing, error: nothing });
