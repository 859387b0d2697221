import { useEffect } from 'react';
import { useToast } from '@/components/ui/use-toast';
import { useClientEngagementWebSocket } from '@/hooks/useWebSocket';

function AlertNotifications() {
  const { latestAlert, isConnected } = useClientEngagementWebSocket();
  const { toast } = useToast();

  useEffect(() => {
    if (latestAlert) {
      toast({
        title: 'New Alert',
        description: latestAlert.details || 'A new alert has been triggered',
        variant: latestAlert.severity === 'high' ? 'destructive' : 'default'
      });
    }
  }, [latestAlert, toast]);

  return (
    <div>
      WebSocket Status: {isConnected ? ' Active' : ' Inactive'}
    </div>
  );
}

export { AlertNotifications };
