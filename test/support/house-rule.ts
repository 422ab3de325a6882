/** What a rule of the house is, and the three ways to write one: about modules, about nodes, about imports. */
import type ts from 'typescript';
import { eachNode, type House, type Import, lineOf, type Module } from './house.js';

/** Answers one line for every breach: where, and what. */
export type Rule = (house: House) => string[];

/** One breach: where, and what. */
export function at(module: Module, line: number, what: string): string {
  return `${module.path}:${line} ${what}`;
}

/** What `find` finds in every module. */
export function eachModule(house: House, find: (module: Module) => string[]): string[] {
  return [...house.values()].flatMap(find);
}

/** A rule about single nodes: `judge` answers what is wrong with one, or nothing. */
export function nodeRule(judge: (node: ts.Node, module: Module) => string | undefined): Rule {
  return (house) =>
    eachModule(house, (module) => {
      const found: string[] = [];
      eachNode(module, (node) => {
        const wrong = judge(node, module);
        if (wrong !== undefined) found.push(at(module, lineOf(module.ast, node), wrong));
      });
      return found;
    });
}

/** A rule about single imports. */
export function importRule(judge: (found: Import, module: Module) => string | undefined): Rule {
  return (house) =>
    eachModule(house, (module) =>
      module.imports.flatMap((found) => {
        const wrong = judge(found, module);
        return wrong === undefined ? [] : [at(module, found.line, wrong)];
      }),
    );
}
