/** Work that is done once per animation frame, however often it is asked for. A hidden page does it when it is seen again. */

export function perFrame(work: () => void): () => void {
  let isAskedFor = false;
  return () => {
    if (isAskedFor) return;
    isAskedFor = true;
    requestAnimationFrame(() => {
      isAskedFor = false;
      work();
    });
  };
}
