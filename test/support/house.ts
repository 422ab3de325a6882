/** The sources as the house rules see them: parsed by the TypeScript compiler, with every import resolved. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript';

/** One place where a module names another. */
export interface Import {
  readonly specifier: string;
  /** The file it leads to, relative to the root; undefined for a package or a Node builtin. */
  readonly target: string | undefined;
  /** The package's name or the builtin with its prefix; undefined for a file of ours. */
  readonly package: string | undefined;
  /** True when nothing of it is left at run time. `import { type A }` is not erased: an empty import remains. */
  readonly erased: boolean;
  /** True for `import()`, `require()` and `process.getBuiltinModule()`: loaded when that line runs, if ever. */
  readonly lazy: boolean;
  readonly line: number;
}

/** One parsed source file. */
export interface Module {
  readonly path: string;
  readonly ast: ts.SourceFile;
  readonly imports: readonly Import[];
}

/** Path → module; paths are relative to the root of the package and use forward slashes. */
export type House = ReadonlyMap<string, Module>;

/** Every TypeScript file below the folders; a folder that does not exist yet is empty. */
export function readHouse(...folders: string[]): House {
  const texts: Record<string, string> = {};
  for (const folder of folders.filter((name) => existsSync(name))) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.tsx?$/.test(entry.name)) continue;
      const path = posix.join(entry.parentPath, entry.name);
      texts[path] = readFileSync(path, 'utf8');
    }
  }
  return buildHouse(texts);
}

/** A house from file texts, for fixtures. */
export function buildHouse(texts: Readonly<Record<string, string>>): House {
  return new Map(Object.entries(texts).map(([path, text]) => [path, parse(path, text)]));
}

/** Calls `visit` for every node of a module, depth first. */
export function eachNode(module: Module, visit: (node: ts.Node) => void): void {
  const walk = (node: ts.Node): void => {
    visit(node);
    ts.forEachChild(node, walk);
  };
  ts.forEachChild(module.ast, walk);
}

/** Where a node starts, as an editor counts lines. */
export function lineOf(ast: ts.SourceFile, node: ts.Node): number {
  return ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1;
}

function parse(path: string, text: string): Module {
  const ast = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const imports: Import[] = [];
  const walk = (node: ts.Node): void => {
    const found = namedModule(node);
    if (found) imports.push({ ...found, ...resolve(path, found.specifier), line: lineOf(ast, node) });
    ts.forEachChild(node, walk);
  };
  ts.forEachChild(ast, walk);
  return { path, ast, imports };
}

function namedModule(node: ts.Node): Pick<Import, 'specifier' | 'erased' | 'lazy'> | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, erased: node.importClause?.isTypeOnly ?? false, lazy: false };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, erased: node.isTypeOnly, lazy: false };
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return { specifier: node.argument.literal.text, erased: true, lazy: false };
  }
  if (ts.isCallExpression(node) && loadsModule(node.expression)) {
    const [argument] = node.arguments;
    if (argument && ts.isStringLiteralLike(argument)) return { specifier: argument.text, erased: false, lazy: true };
  }
  return undefined;
}

function loadsModule(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(callee)) return callee.text === 'require';
  return ts.isPropertyAccessExpression(callee) && callee.name.text === 'getBuiltinModule';
}

function resolve(from: string, specifier: string): Pick<Import, 'target' | 'package'> {
  if (specifier.startsWith('.')) {
    return { target: posix.join(posix.dirname(from), specifier).replace(/\.js(x?)$/, '.ts$1'), package: undefined };
  }
  if (specifier.startsWith('node:')) return { target: undefined, package: specifier };
  const [scopeOrName = specifier, name] = specifier.split('/');
  return { target: undefined, package: specifier.startsWith('@') ? `${scopeOrName}/${name}` : scopeOrName };
}
