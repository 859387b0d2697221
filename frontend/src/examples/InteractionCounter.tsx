import { useEffect, useState } from 'react';
import { useWebSocket } from '@/hooks/useWebSocket';

function InteractionCounter({ clientId }: { clientId: string }) {
  const [interactionCount, setInteractionCount] = useState(0);
  
  const { subscribe, isConnected } = useWebSocket({ 
    clientId,
    autoConnect: true 
  });

  useEffect(() => {
    if (!isConnected) return;

    const unsubscribe = subscribe('interaction_update', (message) => {
      if (message.data?.interaction_count) {
        setInteractionCount(prev => prev + message.data.interaction_count);
      }
    });

    return unsubscribe;
  }, [isConnected, subscribe]);

  return <div>Total Interactions: {interactionCount}</div>;
}

export { InteractionCounter };
