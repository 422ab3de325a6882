/** What a host is made of, put together once. */
import { type Clock, systemClock } from '../internal/clock.js';
import { Admission } from './admission.js';
import type { AgentHostOptions } from './api.js';
import { Observers } from './events.js';
import { Graph } from './graph.js';
import { Ledger } from './ledger.js';
import { assertOptions } from './options.js';
import { metricsObserver } from './otel.js';
import { Registry } from './registry.js';

/** What a host is made of. */
export interface HostParts {
  readonly clock: Clock;
  readonly observers: Observers;
  /** The host's own budget. */
  readonly ledger: Ledger;
  readonly graph: Graph;
  readonly registry: Registry;
  readonly admission: Admission;
}

/** Throws `INVALID_VALUE` for options that cannot be. */
export function hostParts(options: AgentHostOptions): HostParts {
  assertOptions('', options);
  const { store, name = 'host', budget = {}, onEvent, content = false, clock = systemClock } = options;
  assertOptions('budget', budget);
  const owner = crypto.randomUUID();
  const observers = new Observers(() => clock.now(), content);
  observers.add(metricsObserver());
  if (onEvent !== undefined) observers.add(onEvent);
  const ledger = new Ledger('host', budget);
  const tenant = store?.forTenant(`genkitx-agent/host/${name}`);
  const registry = new Registry({ clock, observers, ledgers: [ledger], store: tenant, owner });
  const graph = new Graph();
  return { clock, observers, ledger, graph, registry, admission: new Admission(registry, observers, graph, owner) };
}
