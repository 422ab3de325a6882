/** What a file of the house may hold: sizes, exports, classes, errors, time. */
import ts from 'typescript';
import { lineOf } from './house.js';
import { at, eachModule, nodeRule, type Rule } from './house-rule.js';

const maxBodyLines = 80;
const maxFileLines = 300;
const maxInternalFiles = 8;

const smallBodies = nodeRule((node, { ast }) => {
  if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) return undefined;
  const body = node.body as ts.Node;
  const span = ast.getLineAndCharacterOfPosition(body.end).line + 1 - lineOf(ast, body);
  const lines = ts.isBlock(body) ? span - 1 : span + 1;
  return lines > maxBodyLines ? `a function body of ${lines} lines` : undefined;
});

const smallFiles: Rule = (house) =>
  eachModule(house, (module) => {
    const lines = module.ast.text.replace(/\n$/, '').split('\n').length;
    return lines > maxFileLines ? [at(module, 1, `a file of ${lines} lines`)] : [];
  });

const noAny = nodeRule((node) => (node.kind === ts.SyntaxKind.AnyKeyword ? 'any' : undefined));

const noNonNull = nodeRule((node) => {
  const definite =
    (ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node)) && node.exclamationToken !== undefined;
  return ts.isNonNullExpression(node) || definite ? 'a non-null !' : undefined;
});

const namedExportsOnly = nodeRule((node) => {
  if (ts.isExportDeclaration(node) && (!node.exportClause || ts.isNamespaceExport(node.exportClause))) {
    return 'export *';
  }
  const modifiers = ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined;
  const isDefault = modifiers?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword);
  return ts.isExportAssignment(node) || isDefault ? 'a default export' : undefined;
});

const frontDoorOnlyReexports: Rule = (house) => {
  const door = house.get('src/index.ts');
  if (!door) return [];
  return door.ast.statements
    .filter((node) => !(ts.isExportDeclaration(node) && node.moduleSpecifier && node.exportClause))
    .map((node) => at(door, lineOf(door.ast, node), 'index.ts holds more than named re-exports'));
};

const noUtils: Rule = (house) =>
  eachModule(house, (module) =>
    /(^|\/)(utils?|helpers?|common|misc)(\/|\.tsx?$)/.test(module.path)
      ? [at(module, 1, 'a name that says nothing')]
      : [],
  );

const onlyErrorsInherit = nodeRule((node) => {
  if (!ts.isHeritageClause(node) || node.token !== ts.SyntaxKind.ExtendsKeyword) return undefined;
  if (!ts.isClassLike(node.parent)) return undefined;
  const base = node.types[0]?.expression.getText();
  return base === 'Error' || base === 'AgentFlowError' ? undefined : `a class extends ${base}`;
});

const hashPrivate = nodeRule((node) => {
  if (node.kind === ts.SyntaxKind.PrivateKeyword) return 'the private keyword';
  return node.kind === ts.SyntaxKind.ProtectedKeyword ? 'the protected keyword' : undefined;
});

const oneErrorBase = nodeRule((node, { path }) => {
  const makes = ts.isNewExpression(node) || ts.isCallExpression(node);
  if (!makes || path === 'src/errors.ts') return undefined;
  return ts.isIdentifier(node.expression) && node.expression.text === 'Error' ? 'a bare Error' : undefined;
});

const internalIsSmall: Rule = (house) => {
  const files = [...house.values()].filter(({ path }) => path.startsWith('src/internal/'));
  const crowded = files.length > maxInternalFiles ? [`src/internal: ${files.length} files`] : [];
  return [
    ...crowded,
    ...files.flatMap((module) => {
      const { values, types } = exportedNames(module.ast);
      const one = values.length === 1 || (values.length === 0 && types.length === 1);
      return one && types.length <= 1
        ? []
        : [at(module, 1, `exports ${[...values, ...types].join(', ') || 'nothing'}`)];
    }),
  ];
};

/** The names a module declares and exports, those that exist at run time apart from those that do not. */
function exportedNames(ast: ts.SourceFile): { values: string[]; types: string[] } {
  const values: string[] = [];
  const types: string[] = [];
  for (const node of ast.statements) {
    if (ts.isExportDeclaration(node) && node.exportClause && ts.isNamedExports(node.exportClause)) {
      for (const one of node.exportClause.elements) {
        (node.isTypeOnly || one.isTypeOnly ? types : values).push(one.name.text);
      }
    }
    const exported = ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(isExportKeyword);
    if (!exported) continue;
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) types.push(node.name.text);
    if (ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node)) values.push(node.name?.text ?? 'default');
    if (ts.isVariableStatement(node))
      values.push(...node.declarationList.declarations.map(({ name }) => name.getText()));
  }
  return { values, types };
}

function isExportKeyword({ kind }: ts.ModifierLike): boolean {
  return kind === ts.SyntaxKind.ExportKeyword;
}

/** What a line of code does to learn the time or to wait for it; undefined when it does neither. */
function useOfTime(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node)) {
    return node.expression.getText() === 'Date' && !node.arguments?.length ? 'new Date()' : undefined;
  }
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText();
    return /^(globalThis\.)?(Date\.now|performance\.now|AbortSignal\.timeout|Atomics\.wait)$/.test(text)
      ? text
      : undefined;
  }
  if (ts.isIdentifier(node) && /^set(Timeout|Interval)$/.test(node.text)) return node.text;
  const specifier = ts.isImportDeclaration(node) ? node.moduleSpecifier : undefined;
  return specifier && ts.isStringLiteral(specifier) && /^(node:)?timers/.test(specifier.text)
    ? specifier.text
    : undefined;
}

const timeIsAParameter = nodeRule((node, { path }) => (path === 'src/internal/clock.ts' ? undefined : useOfTime(node)));

/** What holds for the code of `src` and `schemas`. */
export const codeRules: Readonly<Record<string, Rule>> = {
  'function bodies have at most 80 lines': smallBodies,
  'files have at most 300 lines': smallFiles,
  'there is no any': noAny,
  'there is no non-null assertion': noNonNull,
  'exports are named': namedExportsOnly,
  'the front door only re-exports': frontDoorOnlyReexports,
  'nothing is called utils': noUtils,
  'classes inherit from the error base only': onlyErrorsInherit,
  'private members use #': hashPrivate,
  'errors come from one base': oneErrorBase,
  'internal has at most 8 files with one export each': internalIsSmall,
  'time comes from the clock': timeIsAParameter,
};

/** What holds for `test`; its `support` folder is where a wait may be built. */
export const testRules: Readonly<Record<string, Rule>> = {
  'no test sleeps': nodeRule((node, { path }) => {
    if (path.startsWith('test/support/')) return undefined;
    const use = useOfTime(node);
    return use !== undefined && !/Date|performance/.test(use) ? use : undefined;
  }),
};
