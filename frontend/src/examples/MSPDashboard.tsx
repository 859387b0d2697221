import { useEffect, useState } from 'react';
import { useMSPEngagementWebSocket } from '@/hooks/useWebSocket';

function MSPDashboard() {
  const { isConnected, subscribeToClient } = useMSPEngagementWebSocket();
  const [clients] = useState(['client-1', 'client-2', 'client-3']);

  useEffect(() => {
    if (isConnected) {
      // Subscribe to specific clients
      clients.forEach(clientId => {
        subscribeToClient(clientId);
      });
    }
  }, [isConnected, clients, subscribeToClient]);

  return <div>Monitoring {clients.length} clients</div>;
}

export { MSPDashboard };
