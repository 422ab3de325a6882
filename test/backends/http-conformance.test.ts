/** The public suite over the HTTP backends: the official SDKs, against local servers that speak the vendors' streams. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, test } from 'vitest';
import { anthropicBackend } from '../../src/backends/anthropic.js';
import type { Backend } from '../../src/backends/backend.js';
import { type BackendTool, openaiBackend } from '../../src/backends/openai.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { anthropicWire, HttpModel, openaiWire, type Wire } from '../support/http-model.js';
import { storedOpenaiWire } from '../support/openai-stored-wire.js';
import { bytewiseFetch } from '../support/wire-server.js';

const tools: readonly BackendTool[] = [{ name: 'look_up', inputSchema: { type: 'object' }, run: () => 'a drink' }];

interface Vendor {
  wire(): Wire;
  backend(url: string, fetch: typeof globalThis.fetch): Backend;
}

const vendors: Readonly<Record<string, Vendor>> = {
  anthropic: {
    wire: () => anthropicWire,
    backend(baseURL, fetch) {
      const client = new Anthropic({ apiKey: 'test', baseURL, fetch });
      return anthropicBackend({ client, model: 'claude-test', tools }) as Backend;
    },
  },
  openai: {
    wire: () => openaiWire,
    backend(baseURL, fetch) {
      const client = new OpenAI({ apiKey: 'test', baseURL: `${baseURL}/v1`, fetch });
      return openaiBackend({ client, model: 'gpt-test', tools }) as Backend;
    },
  },
  'openai, which keeps the history': {
    wire: storedOpenaiWire,
    backend(baseURL, fetch) {
      const client = new OpenAI({ apiKey: 'test', baseURL: `${baseURL}/v1`, fetch });
      return openaiBackend({ client, model: 'gpt-test', tools, history: 'server' }) as Backend;
    },
  },
};

describe.each(Object.entries(vendors))('%s', (_, vendor) => {
  describe.each([
    ['as it comes', fetch, '\n'],
    ['split at every byte', bytewiseFetch, '\n'],
    ['split at every byte, with CRLF', bytewiseFetch, '\r\n'],
  ] as const)('%s', (_, how, newline) => {
    testBackend({
      test,
      async create() {
        const model = await HttpModel.start(vendor.wire(), newline);
        return {
          backend: vendor.backend(model.url, how),
          play: (turn) => model.play(turn),
          asked: () => model.asked,
          working: () => model.working,
          dispose: () => model[Symbol.asyncDispose](),
        };
      },
    });
  });
});
