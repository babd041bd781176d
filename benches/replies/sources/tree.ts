export interface Node {
  key: number;
  left?: Node;
  right?: Node;
}

export function insert(root: Node | undefined, key: number): Node {
  if (!root) {
    return { key };
  }
  if (key < root.key) {
    root.left = insert(root.left, key);
  } else if (key > root.key) {
    root.right = insert(root.right, key);
  }
  return root;
}

export function depth(root: Node | undefined): number {
  if (!root) {
    return 0;
  }
  return 1 + Math.max(depth(root.left), depth(root.right));
}

export function keys(root: Node | undefined): number[] {
  if (!root) {
    return [];
  }
  return [...keys(root.left), root.key, ...keys(root.right)];
}
