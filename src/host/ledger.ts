/** Money and tokens: reserved before a turn, counted during it, settled after it. */
import type { Response } from '../backends/backend.js';
import { assertKnownOptions, InvalidValueError } from '../errors.js';
import { BudgetError, type BudgetFacts } from './host-errors.js';

/** What may be spent. Absent: as much as it takes. */
export interface Budget {
  /** US dollars over all turns. */
  readonly maxCostUsd?: number;
  /** Tokens, input and output, over all turns. */
  readonly maxTokens?: number;
  /** US dollars held back for a turn before it begins, so that turns at the same time cannot overspend together. @default 0 */
  readonly reserveCostUsd?: number;
  /** Tokens held back for a turn before it begins. @default 0 */
  readonly reserveTokens?: number;
}

/** How a budget stands. */
export interface BudgetStatus {
  /** `undefined`: there is no limit. */
  readonly limitUsd: number | undefined;
  /** US dollars that turns have cost which have ended, however they did; of an earlier process, too. */
  readonly spentUsd: number;
  /** US dollars held by turns in flight: what they reserved, or have used where that is more. */
  readonly reservedUsd: number;
  /** US dollars neither spent nor reserved, never below 0; `undefined`: there is no limit. */
  readonly remainingUsd: number | undefined;
  /** Input and output together; `undefined`: there is no limit. */
  readonly limitTokens: number | undefined;
  /** By turns that have ended, as far as their backends tell. */
  readonly spentTokens: number;
  /** By turns in flight: what they reserved, or have used where that is more. */
  readonly reservedTokens: number;
  /** Neither spent nor reserved, never below 0; `undefined`: there is no limit. */
  readonly remainingTokens: number | undefined;
}

/** What something has used. */
export interface Spent {
  readonly usd: number;
  readonly tokens: number;
}

/** All that a budget can say. */
const amounts = { maxCostUsd: true, maxTokens: true, reserveCostUsd: true, reserveTokens: true };

type Unit = BudgetFacts['unit'];
const units: readonly Unit[] = ['usd', 'tokens'];

/** What one turn holds of a budget until it has ended. */
export interface Reservation {
  /** What the turn has used so far; answers an error when that breaks the budget. */
  use(spent: Spent): BudgetError | undefined;
  /** The turn has ended: what it used is spent, the rest is free again. */
  settle(): void;
}

/** The account of one agent, or of a whole host. */
export class Ledger {
  readonly #scope: BudgetFacts['scope'];
  readonly #limits: Readonly<Record<Unit, number>>;
  readonly #reserve: Readonly<Record<Unit, number>>;
  readonly #spent: Record<Unit, number>;
  readonly #held: Record<Unit, number> = { usd: 0, tokens: 0 };

  /** Throws `INVALID_VALUE` for amounts that are not numbers from 0, and for those there are none of. */
  constructor(scope: BudgetFacts['scope'], budget: Budget, spent: Spent = { usd: 0, tokens: 0 }) {
    assertKnownOptions(budget, amounts, 'budget');
    for (const [path, amount] of Object.entries(budget)) {
      if (amount !== undefined && !(typeof amount === 'number' && amount >= 0)) {
        throw new InvalidValueError('option', [
          { path: `budget.${path}`, expected: 'a number from 0', received: String(amount) },
        ]);
      }
    }
    const { maxCostUsd = Infinity, maxTokens = Infinity, reserveCostUsd = 0, reserveTokens = 0 } = budget;
    this.#scope = scope;
    this.#limits = { usd: maxCostUsd, tokens: maxTokens };
    this.#reserve = { usd: reserveCostUsd, tokens: reserveTokens };
    this.#spent = { usd: spent.usd, tokens: spent.tokens };
  }

  /** Holds a turn's share. Throws a {@link BudgetError}, and holds nothing, when there is not enough. */
  reserve(): Reservation {
    const share = this.#reserve;
    for (const unit of units) {
      const taken = this.#spent[unit] + this.#held[unit];
      if (taken >= this.#limits[unit] || taken + share[unit] > this.#limits[unit]) throw this.#exceeded(unit);
    }
    const held: Record<Unit, number> = { ...share };
    let used: Spent = { usd: 0, tokens: 0 };
    for (const unit of units) this.#held[unit] += held[unit];
    return {
      use: (spent) => {
        used = spent;
        for (const unit of units) {
          const more = Math.max(0, spent[unit] - held[unit]);
          held[unit] += more;
          this.#held[unit] += more;
        }
        return this.#broken(held);
      },
      settle: () => {
        for (const unit of units) {
          this.#held[unit] -= held[unit];
          held[unit] = 0;
          this.#spent[unit] += used[unit];
        }
        used = { usd: 0, tokens: 0 };
      },
    };
  }

  /** Something was spent elsewhere. */
  charge(spent: Spent): void {
    for (const unit of units) this.#spent[unit] += spent[unit];
  }

  status(): BudgetStatus {
    const left = (unit: Unit) => Math.max(0, this.#limits[unit] - this.#spent[unit] - this.#held[unit]);
    const finite = (value: number) => (Number.isFinite(value) ? value : undefined);
    return {
      limitUsd: finite(this.#limits.usd),
      spentUsd: this.#spent.usd,
      reservedUsd: this.#held.usd,
      remainingUsd: finite(left('usd')),
      limitTokens: finite(this.#limits.tokens),
      spentTokens: this.#spent.tokens,
      reservedTokens: this.#held.tokens,
      remainingTokens: finite(left('tokens')),
    };
  }

  /** Only a turn that went beyond its own share is to blame. */
  #broken(held: Readonly<Record<Unit, number>>): BudgetError | undefined {
    const unit = units.find(
      (one) => held[one] > this.#reserve[one] && this.#spent[one] + this.#held[one] > this.#limits[one],
    );
    return unit === undefined ? undefined : this.#exceeded(unit);
  }

  #exceeded(unit: Unit): BudgetError {
    return new BudgetError({
      scope: this.#scope,
      unit,
      limit: this.#limits[unit],
      spent: this.#spent[unit],
      reserved: this.#held[unit],
    });
  }
}

/** What a usage comes to. */
export function spentBy(usage: Response['usage'], costUsd = usage?.costUsd): Spent {
  const { inputTokens = 0, outputTokens = 0, totalTokens = inputTokens + outputTokens } = usage ?? {};
  return { usd: costUsd ?? 0, tokens: totalTokens };
}
